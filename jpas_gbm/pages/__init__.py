"""The page: results of every kind as one self-contained HTML file, and its figures."""
