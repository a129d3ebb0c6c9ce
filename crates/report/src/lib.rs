//! Atlases and tables from results; no computation.
