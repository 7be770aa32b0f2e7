//! How memory is asked for.
//!
//! What a store keeps changes all the time: blocks of a cache, memtables, records. With the C library's allocator
//! the holes between them grew with the list, from 18 to 24 MB while 17 were in use. jemalloc keeps things of one
//! size together, so memory stays where it was after the first million URLs.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// One pool for all threads, no large blocks set aside per thread, and what is free goes back soon: a command
/// that streams needs a few megabytes, and pools would hold several times that.
// SAFETY: jemalloc reads this name at its start: a pointer to text that ends in a zero.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 63] = b"narenas:1,lg_tcache_max:10,dirty_decay_ms:200,muzzy_decay_ms:0\0";
