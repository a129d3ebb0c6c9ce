//! Real small models, mock servers and golden helpers for tests.
