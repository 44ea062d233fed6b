"""What the trees see: photometry, lines, template fits, and what is measured between mocks and sky."""
