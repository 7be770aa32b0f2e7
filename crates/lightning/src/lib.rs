//! An embedded, transactional key-value engine.
