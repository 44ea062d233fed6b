"""The built-in simulated survey: spectra, instrument, sky and mocks, and the files of the archives."""
