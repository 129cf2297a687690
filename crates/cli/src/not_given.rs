//! What could not be given to installed paths, for people and for programs.

use installdb::NotGiven;
use serde_json::{Value, json};

use crate::render::{self, Voice};

/// How many paths lack what: `2 owners, 1 setid bit`; nothing where nothing is missing.
pub fn counts(list: &[NotGiven]) -> String {
    let kinds = [
        ("owner", "owner"),
        ("setid", "setid mode"),
        ("mode", "mode"),
        ("xattrs", "extended attribute"),
        ("device", "device"),
    ];
    let told = kinds.into_iter().filter_map(|(word, thing)| {
        let count = list.iter().filter(|one| one.what.words().any(|known| known == word)).count();
        (count > 0).then(|| render::count(count as u64, thing))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// A line for each path, for those who want to know.
pub fn detail(list: &[NotGiven], voice: &Voice) {
    for NotGiven { package, path, what } in list {
        voice.detail(format_args!("not given {package} /{path} {}", what.words().collect::<Vec<_>>().join(",")));
    }
}

/// All of it.
pub fn document(list: &[NotGiven]) -> Value {
    let describe = |one: &NotGiven| {
        let mut value = json!({ "package": one.package.as_str(), "what": one.what.words().collect::<Vec<_>>() });
        render::put_path(&mut value, "/", &one.path);
        value
    };
    list.iter().map(describe).collect()
}
