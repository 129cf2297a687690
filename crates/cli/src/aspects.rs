//! In what a path differs, for people and for programs.

use installdb::{Aspect, Facts, Ownership};
use serde_json::{Value, json};

use crate::render;

/// All of it on one line: what is there, and what should be.
pub fn line(aspects: &[Aspect]) -> String {
    aspects.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Puts it into a JSON object: `differs` has a word for each, `details` the values.
pub fn put(object: &mut Value, aspects: &[Aspect]) {
    let mut words: Vec<&str> = aspects.iter().map(Aspect::name).collect();
    words.dedup();
    object["differs"] = words.into();
    object["details"] = aspects.iter().map(detail).collect();
}

fn detail(aspect: &Aspect) -> Value {
    let mut value = match aspect {
        Aspect::Type { expected, found } => json!({ "expected": expected, "found": found.map(pkgfs::FileKind::name) }),
        Aspect::Content { expected, found } => json!({ "expected": facts(expected), "found": facts(found) }),
        Aspect::Target { expected, found } => json!({
            "expected": String::from_utf8_lossy(expected),
            "found": String::from_utf8_lossy(found),
        }),
        Aspect::Link { expected } => json!({ "expected": format!("/{}", render::path(expected)) }),
        Aspect::Mode { expected, found } => json!({ "expected": expected.to_string(), "found": found.to_string() }),
        Aspect::Owner { expected, found } => json!({ "expected": ownership(expected), "found": ownership(found) }),
        Aspect::Xattr { name, expected, found } => json!({
            "name": name.escape_ascii().to_string(),
            "expected_hex": expected.as_deref().map(render::hex),
            "found_hex": found.as_deref().map(render::hex),
        }),
        Aspect::Device { expected, found } => json!({ "expected": device(*expected), "found": device(*found) }),
        _ => json!({}),
    };
    value["aspect"] = aspect.name().into();
    value
}

fn facts(facts: &Facts) -> Value {
    json!({ "size": facts.size, "digest": facts.digest.map(|digest| digest.to_string()) })
}

fn ownership(of: &Ownership) -> Value {
    json!({ "owner": of.user, "group": of.group })
}

fn device((major, minor): (u32, u32)) -> String {
    format!("{major}:{minor}")
}
