//! Models by name: hub downloads and the built-in short names.
