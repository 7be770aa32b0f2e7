//! The PromQL scripts through the door: loaded by remote write, asked over HTTP.
//!
//! What the door answers must be, to the letter, what the language answers over the same store; numbers,
//! labels and times are then taken from the answer itself and held against what the script expects.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../../promql/tests/conformance/compare.rs"]
mod compare;
#[path = "../../../promql/tests/conformance/fixed.rs"]
mod fixed;
#[path = "door/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "door/messages.rs"]
#[allow(dead_code)]
mod messages;
#[path = "../../../promql/tests/conformance/script.rs"]
mod script;
#[path = "../../../promql/tests/conformance/series.rs"]
mod series;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use luma_promql::answer::{failure, success, write_value};
use luma_promql::{Answer, Error, FloatPoint, Labels, Options, Sample, Source, Value, instant, range};
use serde_json::Value as Json;

use http::{Client, Server, escaped};
use messages::WriteRequestV2;

/// A server, a client of it, and what a `load` that goes on will write.
struct OverHttp {
    server: Server,
    client: RefCell<Client>,
    request: WriteRequestV2,
}

impl OverHttp {
    fn empty() -> Self {
        let server = Server::new();
        Self { client: RefCell::new(server.client()), server, request: WriteRequestV2::new() }
    }

    /// The answer to a request, which must be that of the language.
    fn asked(&self, path: &str, query: &str, direct: Result<Answer, Error>) -> Result<Answer, Error> {
        let got = self.client.borrow_mut().get(path);
        let (status, expected) = match &direct {
            Ok(answer) => {
                let mut data = String::new();
                write_value(&answer.value, &mut data);
                (200, success(&data, &answer.annotations.warnings(query), &answer.annotations.infos(query)))
            }
            Err(error) => (error.kind().status(), failure(error.kind(), &error.message())),
        };
        assert_eq!((got.status, got.text()), (status, expected), "{query}");
        let json = got.json();
        direct.map(|answer| Answer { value: parsed(&json["data"]["result"], answer.value), ..answer })
    }
}

impl script::Store for OverHttp {
    fn insert(&mut self, labels: &Labels, t: i64, start: i64, sample: Sample) {
        self.request.sample(labels, t, start, sample);
    }

    fn loaded(&mut self) {
        let request = std::mem::replace(&mut self.request, WriteRequestV2::new());
        let answer = self.client.borrow_mut().write_2(&request);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    fn source(&self) -> &dyn Source {
        &*self.server.store
    }

    fn instant(&self, query: &str, t: i64) -> Result<Answer, Error> {
        let path = format!("/api/v1/query?query={}&time={}", escaped(query), seconds(t));
        self.asked(&path, query, instant(self.source(), query, t, &Options::default()))
    }

    fn range(&self, query: &str, start: i64, end: i64, step: i64) -> Result<Answer, Error> {
        let (from, to, every) = (seconds(start), seconds(end), seconds(step));
        let path = format!("/api/v1/query_range?query={}&start={from}&end={to}&step={every}", escaped(query));
        self.asked(&path, query, range(self.source(), query, start, end, step, &Options::default()))
    }
}

fn seconds(t: i64) -> String {
    format!("{}{}.{:03}", if t < 0 { "-" } else { "" }, t.abs() / 1000, t.abs() % 1000)
}

/// A value with the numbers, labels and times of an answer; histograms, whose form has no resolution, stay.
fn parsed(json: &Json, value: Value) -> Value {
    let time = |json: &Json| (json.as_f64().unwrap() * 1000.0).round() as i64;
    let number = |json: &Json| luma_promql::parse_number(json.as_str().unwrap()).unwrap();
    let point = |json: &Json| FloatPoint { t: time(&json[0]), v: number(&json[1]) };
    let labels = |json: &Json| {
        let pairs = json["metric"].as_object().unwrap().iter();
        Labels::new(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap())))
    };
    let list = |json: &Json| json.as_array().unwrap().clone();
    match value {
        Value::Scalar(_) => Value::Scalar(point(json)),
        Value::String(..) => Value::String(time(&json[0]), json[1].as_str().unwrap().to_owned()),
        Value::Vector(t, mut samples) => {
            let items = list(json);
            assert_eq!(items.len(), samples.len());
            for (sample, item) in samples.iter_mut().zip(items) {
                sample.labels = labels(&item);
                if let Some(value) = item.get("value") {
                    assert_eq!(time(&value[0]), t);
                    sample.value = Sample::Float(number(&value[1]));
                }
            }
            Value::Vector(t, samples)
        }
        Value::Matrix(mut series) => {
            let items = list(json);
            assert_eq!(items.len(), series.len());
            for (series, item) in series.iter_mut().zip(items) {
                series.labels = labels(&item);
                series.floats =
                    item.get("values").map_or(Vec::new(), |v| list(v).iter().map(point).collect());
            }
            Value::Matrix(series)
        }
    }
}

/// A file's name, how many cases it has and which of them fail.
type Ran = Vec<(String, usize, Vec<String>)>;

fn run_directory(directory: &Path) -> Ran {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "test")).collect();
    files.sort();
    assert!(!files.is_empty(), "no script in {}", directory.display());
    let run = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let outcome = script::run(&std::fs::read_to_string(file).unwrap(), OverHttp::empty);
        println!("{name}: {} of {} cases pass", outcome.cases - outcome.failures.len(), outcome.cases);
        (name, outcome.cases, outcome.failures)
    };
    files.iter().map(run).collect()
}

fn assert_passes(ran: &Ran) {
    for (name, cases, failures) in ran {
        assert!(
            failures.is_empty(),
            "{name}: {} of {cases} cases fail:\n{}",
            failures.len(),
            failures.join("\n")
        );
    }
}

/// Holds the part of the documentation that is made from a run against the run.
fn assert_documented(part: &str, ran: &Ran) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/promql.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {part}: begin -->\n"), format!("<!-- {part}: end -->"));
    let mut table = String::from("\n| script | cases | pass |\n|---|---|---|\n");
    let (mut cases, mut passed) = (0, 0);
    for (name, of_file, failures) in ran {
        let good = of_file - failures.len();
        (cases, passed) = (cases + of_file, passed + good);
        writeln!(table, "| `{name}` | {of_file} | {good} |").unwrap();
    }
    writeln!(table, "| all | {cases} | {passed} |\n").unwrap();
    let (before, rest) = page.split_once(&begin).expect("the page has the part");
    let (documented, after) = rest.split_once(&end).expect("the part ends");
    if documented != table && std::env::var_os("LUMADB_ACCEPT").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(documented, table, "run this test with LUMADB_ACCEPT=1 and read the page");
}

// One test, so that one page is written at a time.
#[test]
fn every_case_passes_over_http_and_the_documentation_says_so() {
    let own = run_directory(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../promql/tests/cases"));
    assert_passes(&own);
    assert_documented("own scripts", &own);
    let directory = match std::env::var_os("LUMADB_PROMQL_CASES") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/conformance/promql"),
    };
    if !directory.is_dir() {
        println!("skipped: {} is not there; LUMADB_PROMQL_CASES may name the cases", directory.display());
        return;
    }
    let of_prometheus = run_directory(&directory);
    assert_passes(&of_prometheus);
    assert_documented("scripts of Prometheus", &of_prometheus);
}
