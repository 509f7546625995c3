//! Imports of the modules: downwards only.
