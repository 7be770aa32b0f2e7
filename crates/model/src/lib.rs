//! Values, types, row and key encodings, and the error kinds.
