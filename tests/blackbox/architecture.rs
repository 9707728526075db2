//! ARCHITECTURE.md names the way from `main` to the domain with file and line: it stays true, and short.

use std::fs;

/// What each hop's file calls to make the next one.
const CALLS: [&str; 5] = ["commands::serve(", "orderlane_lane::run(", "turn.step(", ".handle_with(", "order::decide("];

#[test]
fn from_main_to_the_domain_in_five_hops() {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = fs::read_to_string(format!("{root}/ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let rows =
        text.lines().skip_while(|line| !line.starts_with("| hop |")).skip(2).take_while(|line| line.starts_with('|'));
    let hops: Vec<(String, String, usize)> = rows.map(hop).collect();
    assert_eq!(hops.len(), CALLS.len() + 1, "main and five hops");
    for (index, (name, file, line)) in hops.iter().enumerate() {
        let source = fs::read_to_string(format!("{root}/{file}")).expect("the file of a hop can be read");
        let wanted = format!("fn {}", name.rsplit("::").next().expect("a hop has a name"));
        let is_here = |text: &str| text.contains(&format!("{wanted}(")) || text.contains(&format!("{wanted}<"));
        let found = source.lines().position(is_here).map(|found| found + 1);
        assert_eq!(found, Some(*line), "{file} has `{wanted}` at this line: correct ARCHITECTURE.md");
        if let Some(call) = CALLS.get(index) {
            assert!(source.contains(call), "{file} makes the next hop by {call}");
        }
    }
}

/// Name, file and line of a row such as ``| 3 `Turn::step` | engine/lane/src/turn.rs:91 | … |``.
fn hop(row: &str) -> (String, String, usize) {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let name = cells[1].split('`').nth(1).expect("a hop names a function");
    let (file, line) = cells[2].rsplit_once(':').expect("a hop names file and line");
    (name.to_owned(), file.to_owned(), line.parse().expect("a line is a number"))
}
