//! Bars per workload, one colour per engine, as SVG: a bar is as long as the engine is good, the best fills
//! the width; a thin line spans the rounds.

use std::fmt::Write;

use crate::report::Row;

const COLOURS: [&str; 8] =
    ["#d1495b", "#edae49", "#30638e", "#00798c", "#6a4c93", "#8d99ae", "#3d5a40", "#7f5539"];
const BAR: usize = 12;
const LABEL: usize = 250;
const WIDTH: usize = 560;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// All rows below each other.
pub fn draw(rows: &[Row], engines: &[&str]) -> String {
    let row_height = engines.len() * BAR + 14;
    let height = rows.len() * row_height + 40;
    let width = LABEL + WIDTH + 110;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, engine) in engines.iter().enumerate() {
        let (x, colour) = (10 + at * 110, COLOURS[at % COLOURS.len()]);
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"8\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"17\">{engine}</text>", x + 14);
    }
    for (index, row) in rows.iter().enumerate() {
        let top = 34 + index * row_height;
        let label = escape(&format!("{} ({})", row.workload, row.unit));
        let middle = top + engines.len() * BAR / 2 + 4;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{label}</text>", LABEL - 8);
        let goodness = |value: f64| if row.higher_is_better { value } else { 1.0 / value };
        let best = row.medians.values().copied().map(goodness).fold(f64::MIN_POSITIVE, f64::max);
        let place = |value: f64| (goodness(value) / best).clamp(0.0, 1.1) * WIDTH as f64;
        for (at, engine) in engines.iter().enumerate() {
            let Some(median) = row.medians.get(*engine) else { continue };
            let (y, long, colour) = (top + at * BAR, place(*median), COLOURS[at % COLOURS.len()]);
            let _ = writeln!(
                svg,
                "<rect x=\"{LABEL}\" y=\"{y}\" width=\"{long:.1}\" height=\"{}\" fill=\"{colour}\"/>",
                BAR - 2
            );
            if let Some((low, high)) = row.ranges.get(*engine) {
                let (from, to) = (LABEL as f64 + place(*low), LABEL as f64 + place(*high));
                let middle = y + BAR / 2 - 1;
                let _ = writeln!(
                    svg,
                    "<line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>"
                );
            }
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" font-size=\"9\">{median:.5}</text>",
                LABEL as f64 + long + 4.0,
                y + 9
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
