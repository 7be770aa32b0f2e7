//! How small blocks get and how fast they are read: `cargo run --release -p luma-codec --example block_sizes`.

use std::time::Instant;

use luma_codec::{Block, Compression, Limits, compress, encode_samples};

const SAMPLES: usize = 1 << 16;
const ROUNDS: usize = 200;

fn main() -> Result<(), luma_codec::Error> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut counter = 0.0;
    let loads: [(&str, Vec<f64>); 4] = [
        ("constant", vec![1.0; SAMPLES]),
        (
            "counter",
            std::iter::repeat_with(|| {
                counter += (random() * 100.0).floor();
                counter
            })
            .take(SAMPLES)
            .collect(),
        ),
        (
            "gauge of two decimals",
            (0..SAMPLES).map(|at| ((at as f64 / 50.0).sin() * 2000.0).round() / 100.0).collect(),
        ),
        ("noise", (0..SAMPLES).map(|at| (at as f64).sin()).collect()),
    ];
    println!("{:<24}{:>16}{:>12}{:>12}{:>16}", "samples", "bytes/sample", "LZ4", "Zstd 3", "ns/sample read");
    for (name, values) in loads {
        let mut block = Vec::new();
        // 15 s apart, a millisecond of jitter for one in eight.
        let times = (0..SAMPLES as i64).map(|at| 1_700_000_000_000 + at * 15_000 + i64::from(at % 8 == 3));
        encode_samples(times.zip(values), &mut block);
        let packed = |compression| {
            let mut packed = Vec::new();
            compress(&block, compression, &mut packed);
            packed.len() as f64 / SAMPLES as f64
        };
        let started = Instant::now();
        let mut sum = 0.0;
        for _ in 0..ROUNDS {
            let (opened, _) = Block::open(&block, Limits::default())?;
            sum += opened.samples()?.values.last().copied().unwrap_or_default();
        }
        let nanos = started.elapsed().as_nanos() as f64 / (ROUNDS * SAMPLES) as f64;
        let size = block.len() as f64 / SAMPLES as f64;
        let (lz4, zstd) = (packed(Compression::Lz4), packed(Compression::Zstd(3)));
        println!("{name:<24}{size:>16.2}{lz4:>12.2}{zstd:>12.2}{nanos:>16.2}");
        assert!(sum.is_finite());
    }
    Ok(())
}
