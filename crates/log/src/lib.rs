//! A segmented, checksummed, group-committed log.
