//! Has the processor fetch memory that is read soon, without waiting for it.

/// What the processor moves at once.
const LINE_BYTES: usize = 64;

/// Has `bytes` fetched from an address on. Nothing is read: any address will do, also one of nothing.
#[inline]
pub(crate) fn fetch<T>(address: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..bytes).step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: this is a hint, which touches nothing that a program could notice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>().wrapping_add(offset)) };
    }
    #[cfg(target_arch = "aarch64")]
    for offset in (0..bytes).step_by(LINE_BYTES) {
        let line = address.cast::<u8>().wrapping_add(offset);
        // SAFETY: as above.
        unsafe { std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags)) };
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = (address, bytes, LINE_BYTES);
}
