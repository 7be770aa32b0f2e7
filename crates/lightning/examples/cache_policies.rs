//! Prints how often each cache policy finds a block, over traces and sizes of the cache, and how fast reads are.
//!
//! `cargo run --release -p lightning --example cache_policies [file.svg]`
//!
//! Every number is from the engine: a B+Tree whose leaves hold one value each is read along a trace, so one
//! read is one block. The last trace is a search in real texts (`LUMADB_TEST_DATA`, or `../shared/data`): for each
//! word of log lines, in their order, its list of lines is read and the newest of those lines. LRU, which is
//! not a policy here, is computed for comparison.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lightning::{
    CachePolicy, Database, Direction, Durability, Keyspace, KeyspaceOptions, Layout, Options, Readable,
    WriteBatch,
};

const BLOCKS: u32 = 20_000;
const READS: usize = 400_000;
const PERCENT: [usize; 4] = [1, 5, 10, 25];
const POLICIES: [CachePolicy; 2] = [CachePolicy::S3Fifo, CachePolicy::Arc];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Ranks with a probability of `1 / rank^skew`, each at a place of its own.
struct Zipf {
    sums: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new(skew: f64) -> Self {
        let mut sum = 0.0;
        let weight = |rank| {
            sum += 1.0 / f64::from(rank).powf(skew);
            sum
        };
        Self { sums: (1..=BLOCKS).map(weight).collect(), random: Random(7) }
    }

    fn next(&mut self) -> u32 {
        let whole = self.sums[self.sums.len() - 1];
        let wanted = self.random.below(1 << 30) as f64 / f64::from(1 << 30) * whole;
        let rank = self.sums.partition_point(|sum| *sum < wanted) as u64;
        (rank * 7_919 % u64::from(BLOCKS)) as u32
    }
}

fn zipf(skew: f64) -> Vec<u32> {
    let mut zipf = Zipf::new(skew);
    (0..READS).map(|_| zipf.next()).collect()
}

/// After every 10,000 reads, a scan of a quarter of all.
fn scan_polluted() -> Vec<u32> {
    let mut zipf = Zipf::new(0.99);
    let mut trace = Vec::new();
    while trace.len() < READS {
        trace.extend((0..10_000).map(|_| zipf.next()));
        let from = zipf.random.below(BLOCKS as usize) as u32;
        trace.extend((0..BLOCKS / 4).map(|step| (from + step) % BLOCKS));
    }
    trace
}

/// Nine of ten reads go to a fiftieth of all blocks, another one after every 40,000 reads.
fn shifting() -> Vec<u32> {
    let mut random = Random(11);
    let mut from = 0;
    let mut next = |number: usize| {
        if number.is_multiple_of(40_000) {
            from = random.below(BLOCKS as usize);
        }
        let width = if random.below(10) < 9 { BLOCKS as usize / 50 } else { BLOCKS as usize };
        ((from + random.below(width)) % BLOCKS as usize) as u32
    };
    (0..READS).map(&mut next).collect()
}

/// A walk around a tenth more than the cache holds.
fn looping(percent: usize) -> Vec<u32> {
    let around = BLOCKS as usize * percent / 100 * 11 / 10;
    (0..READS).map(|number| (number % around) as u32).collect()
}

/// The share of reads that a cache of so many equal blocks finds if what was read last goes last.
fn lru(trace: &[u32], room: usize) -> f64 {
    let (mut by_time, mut times) = (BTreeMap::new(), HashMap::new());
    let mut hits = 0;
    for (now, block) in trace.iter().enumerate() {
        if let Some(before) = times.insert(*block, now) {
            by_time.remove(&before);
            hits += 1;
        } else if by_time.len() == room
            && let Some((_, oldest)) = by_time.pop_first()
        {
            times.remove(&oldest);
        }
        by_time.insert(now, *block);
    }
    f64::from(hits) / trace.len() as f64
}

/// Seconds this thread was on a processor: fair on a machine that others use too.
fn computed_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

struct Stored {
    directory: tempfile::TempDir,
    /// What the cache has to hold besides blocks, and all blocks.
    fixed_bytes: usize,
    block_bytes: usize,
}

impl Stored {
    fn new(rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path(), Options::default()).unwrap();
        let options = KeyspaceOptions { layout: Layout::BTree, ..KeyspaceOptions::default() };
        let keyspace = database.create_keyspace("rows", options).unwrap();
        for (key, value) in rows {
            let mut batch = WriteBatch::new();
            batch.put(&keyspace, &key, &value);
            database.write(batch, Durability::Unlogged).unwrap();
        }
        keyspace.flush().unwrap();
        keyspace.compact().unwrap();
        drop((database, keyspace));
        let (database, keyspace) = open(directory.path(), CachePolicy::default(), 1 << 30);
        let fixed_bytes = database.stats().cache.used_bytes;
        let mut range = database
            .snapshot()
            .range(&keyspace, std::ops::Bound::Unbounded, std::ops::Bound::Unbounded, Direction::Forward)
            .unwrap();
        while range.next().unwrap().is_some() {}
        let block_bytes = database.stats().cache.used_bytes - fixed_bytes;
        drop(range);
        Self { directory, fixed_bytes, block_bytes }
    }

    /// The share of blocks found and the reads per second, when the cache has room for so many of a hundred
    /// blocks.
    fn measure(&self, which: CachePolicy, percent: usize, run: &dyn Fn(&Database, &Keyspace)) -> (f64, f64) {
        let bytes = self.fixed_bytes + self.block_bytes / 100 * percent;
        let (database, keyspace) = open(self.directory.path(), which, bytes);
        let start = computed_seconds();
        run(&database, &keyspace);
        let seconds = computed_seconds() - start;
        let found = database.stats().cache;
        let reads = (found.hits + found.misses) as f64;
        (found.hits as f64 / reads, reads / seconds)
    }
}

fn open(path: &Path, cache_policy: CachePolicy, cache_bytes: usize) -> (Database, Keyspace) {
    let database = Database::open(path, Options { cache_policy, cache_bytes, ..Options::default() }).unwrap();
    let keyspace = database.keyspace("rows").unwrap();
    (database, keyspace)
}

fn read(database: &Database, keyspace: &Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    database.snapshot().get(keyspace, key).unwrap()
}

/// The lines of real texts under their numbers, and for each word the numbers of the lines that have it; and
/// the words of the log lines, in order.
struct Texts {
    stored: Stored,
    words: Vec<String>,
}

const LINES_OF_WORD_MAX: usize = 500;

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "log" || kind == "csv") {
            files.push(path);
        }
    }
}

fn texts() -> Option<Texts> {
    let folder = std::env::var("LUMADB_TEST_DATA").unwrap_or_else(|_| "../shared/data".into());
    let mut files = Vec::new();
    files_below(Path::new(&folder), &mut files);
    files.sort();
    let (mut lines, mut words, mut lists) = (Vec::new(), Vec::new(), BTreeMap::<String, Vec<u8>>::new());
    for file in &files {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        for line in text.lines() {
            let number = lines.len() as u32;
            for word in line.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 2) {
                let list = lists.entry(word.to_owned()).or_default();
                if list.len() < LINES_OF_WORD_MAX * 4 && !list.ends_with(&number.to_be_bytes()) {
                    list.extend_from_slice(&number.to_be_bytes());
                }
                if file.extension().is_some_and(|kind| kind == "log") {
                    words.push(word.to_owned());
                }
            }
            lines.push(line.to_owned());
        }
    }
    let lines = lines.into_iter().enumerate();
    let lines = lines.map(|(number, line)| (line_key(number as u32), line.into_bytes()));
    let lists = lists.into_iter().map(|(word, list)| ([b"word ", word.as_bytes()].concat(), list));
    (!words.is_empty()).then(|| Texts { stored: Stored::new(lines.chain(lists)), words })
}

fn line_key(number: u32) -> Vec<u8> {
    [&b"line "[..], &number.to_be_bytes()].concat()
}

fn search(words: &[String]) -> impl Fn(&Database, &Keyspace) + '_ {
    move |database, keyspace| {
        for word in words {
            let list = read(database, keyspace, &[b"word ", word.as_bytes()].concat()).unwrap_or_default();
            for number in list.rchunks_exact(4).take(3) {
                let _ = read(database, keyspace, &[b"line ", number].concat());
            }
        }
    }
}

/// A trace's name, and per size of the cache the shares found by each policy and by LRU.
type Row = (String, Vec<(usize, [f64; 2], Option<f64>)>);

fn svg(rows: &[Row]) -> String {
    const COLOURS: [(&str, &str); 3] = [("S3-FIFO", "#1b6ca8"), ("ARC", "#d1495b"), ("LRU", "#8d99ae")];
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"230\" \
         font-family=\"sans-serif\" font-size=\"11\">\n",
        rows.len() * 150 + 20
    );
    for (number, (name, sizes)) in rows.iter().enumerate() {
        let left = number * 150 + 30;
        let _ = writeln!(out, "<text x=\"{left}\" y=\"20\">{name}</text>");
        let _ = writeln!(out, "<path d=\"M{left} 30V180h110\" fill=\"none\" stroke=\"#333\"/>");
        for (line, (_, colour)) in COLOURS.iter().enumerate() {
            let mut points = String::new();
            for (at, (_, found, lru)) in sizes.iter().enumerate() {
                if let Some(share) = found.get(line).copied().or(*lru) {
                    let _ = write!(points, "{},{:.1} ", left + 5 + at * 33, 180.0 - share * 150.0);
                }
            }
            let _ = writeln!(out, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\"/>");
        }
        for (at, (percent, ..)) in sizes.iter().enumerate() {
            let _ = writeln!(out, "<text x=\"{}\" y=\"195\">{percent} %</text>", left + at * 33);
        }
    }
    for (number, (name, colour)) in COLOURS.iter().enumerate() {
        let left = 30 + number * 80;
        let _ = writeln!(out, "<text x=\"{left}\" y=\"220\" fill=\"{colour}\">{name}</text>");
    }
    out.push_str("</svg>\n");
    out
}

fn main() {
    let value = vec![b'v'; 3900];
    let stored = Stored::new((0..BLOCKS).map(|key| (key.to_be_bytes().to_vec(), value.clone())));
    type Trace = Box<dyn Fn(usize) -> Vec<u32>>;
    let traces: [(&str, Trace); 6] = [
        ("Zipf 0.8", Box::new(|_| zipf(0.8))),
        ("Zipf 0.99", Box::new(|_| zipf(0.99))),
        ("Zipf 1.2", Box::new(|_| zipf(1.2))),
        ("Zipf 0.99, scans", Box::new(|_| scan_polluted())),
        ("loop", Box::new(looping)),
        ("shifting hot set", Box::new(|_| shifting())),
    ];
    println!("| trace | cache | S3-FIFO | ARC | LRU | S3-FIFO, reads/s | ARC, reads/s |");
    println!("|---|---|---|---|---|---|---|");
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name: &str, percent: usize, measured: [(f64, f64); 2], lru: Option<f64>| {
        let [(s3, s3_speed), (arc, arc_speed)] = measured;
        let lru_text = lru.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0));
        println!(
            "| {name} | {percent} % | {:.1} % | {:.1} % | {lru_text} | {s3_speed:.0} | {arc_speed:.0} |",
            s3 * 100.0,
            arc * 100.0
        );
        if rows.last().is_none_or(|(last, _)| last != name) {
            rows.push((name.to_owned(), Vec::new()));
        }
        if let Some((_, sizes)) = rows.last_mut() {
            sizes.push((percent, [s3, arc], lru));
        }
    };
    for (name, make) in &traces {
        for percent in PERCENT {
            let trace = make(percent);
            let run = |database: &Database, keyspace: &Keyspace| {
                for block in &trace {
                    database.snapshot().get_with(keyspace, &block.to_be_bytes(), <[u8]>::len).unwrap();
                }
            };
            let measured = POLICIES.map(|which| stored.measure(which, percent, &run));
            add(name, percent, measured, Some(lru(&trace, BLOCKS as usize * percent / 100)));
        }
    }
    match texts() {
        None => {
            println!("\nThe search in texts is left out: there are none; LUMADB_TEST_DATA can say where.");
        }
        Some(Texts { stored, words }) => {
            for percent in PERCENT {
                let measured = POLICIES.map(|which| stored.measure(which, percent, &search(&words)));
                add("search in texts", percent, measured, None);
            }
        }
    }
    if let Some(path) = std::env::args().nth(1) {
        std::fs::write(path, svg(&rows)).unwrap();
    }
}
