//! Languages: registry, scripts, segmentation, identification.
