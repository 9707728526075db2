//! The Prometheus text format, read strictly.

use std::collections::{BTreeMap, BTreeSet};

/// A series: its name and its labels.
pub(super) type Series = (String, BTreeMap<String, String>);

/// An exposition as a scraper sees it.
pub(super) struct Exposition {
    /// The type of each family.
    pub(super) types: BTreeMap<String, String>,
    pub(super) series: Vec<(Series, f64)>,
}

impl Exposition {
    /// Every line must be `# HELP`, `# TYPE` or a sample of the family above it.
    pub(super) fn parse(text: &str) -> Result<Exposition, String> {
        let mut exposition = Exposition { types: BTreeMap::new(), series: Vec::new() };
        let mut helped = BTreeSet::new();
        let mut family = String::new();
        if !text.ends_with('\n') {
            return Err("the last line does not end".into());
        }
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').ok_or(line)?;
                if help.is_empty() || !is_name(name) || !helped.insert(name.to_owned()) {
                    return Err(format!("HELP: {line}"));
                }
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or(line)?;
                let known = ["counter", "gauge", "histogram"].contains(&kind);
                if !known || exposition.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                    return Err(format!("TYPE: {line}"));
                }
                family = name.to_owned();
            } else {
                let (series, value) = sample(line).ok_or_else(|| format!("sample: {line}"))?;
                if family_of(&series.0, &exposition.types) != family {
                    return Err(format!("{line} does not belong to {family}"));
                }
                exposition.series.push((series, value));
            }
        }
        match exposition.types.keys().find(|name| !helped.contains(*name)) {
            Some(name) => Err(format!("{name} has no HELP")),
            None => Ok(exposition),
        }
    }

    /// The sum of the series of a name with all of these labels; `None` when there is none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| found.get(*label).map(String::as_str) == Some(*value))
        };
        let found: Vec<f64> = self
            .series
            .iter()
            .filter(|((found, labels), _)| found == name && has(labels))
            .map(|(_, value)| *value)
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

fn family_of<'n>(name: &'n str, types: &BTreeMap<String, String>) -> &'n str {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
        name.strip_suffix(suffix).filter(|base| types.get(*base).is_some_and(|kind| kind == "histogram"))
    });
    histogram.unwrap_or(name)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<(Series, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
    let Some((name, rest)) = series.split_once('{') else {
        return is_name(series).then(|| ((series.to_owned(), BTreeMap::new()), value));
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_suffix('}')?;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"")?;
        let end = closing_quote(after)?;
        if !is_name(label) || labels.insert(label.to_owned(), after[..end].to_owned()).is_some() {
            return None;
        }
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    is_name(name).then(|| ((name.to_owned(), labels), value))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}
