//! Packages as sqlite files, step by step.

use e2e::Env;

fn env() -> Env {
    Env::new(env!("CARGO_BIN_EXE_pkg-e2e"))
}

fn line(text: &str) -> String {
    text.trim_end().to_owned()
}

#[test]
fn the_steps_make_the_package_that_packing_makes() {
    let env = env();
    env.pack("hello", &[("bin/hello", "hej\n")]);
    env.write("content", "hej\n");
    env.pkg(&["db", "create", "x.zpkg"]).code(0);
    let meta = ["name=hello", "version=1.0", "release=1", "installed-size=4"].map(|value| ["-m", value]);
    env.pkg(&[&["db", "create", "x.zpkg"], meta.as_flattened()].concat()).code(0);
    let blob = env.pkg(&["db", "add-blob", "x.zpkg", "content", "--json"]).code(0).json();
    let digest = blob["blobs"][0]["digest"].as_str().unwrap().to_owned();
    let files = env.pkg(&["inspect", "hello.kpkg", "--files", "--json"]).code(0).json();
    let mtime = |index: usize| files["files"][index]["mtime"].as_str().unwrap().to_owned();
    let mode = |index: usize| files["files"][index]["mode"].as_str().unwrap().to_owned();
    let (dir_mode, dir_time) = (mode(0), mtime(0));
    env.pkg(&["db", "add-path", "x.zpkg", "bin", "--type", "dir", "--mode", &dir_mode, "--mtime", &dir_time]).code(0);
    env.pkg(&["db", "add-path", "x.zpkg", "bin/hello", "--mode", &mode(1), "--mtime", &mtime(1)]).code(0);
    env.pkg(&["db", "associate", "x.zpkg", "bin/hello", "--blob", &digest[..8]]).code(0);
    let made = env.pkg(&["db", "associate", "x.zpkg", "bin", "/bin/hello", "--package", "hello"]).code(0);
    let packed = env.pkg(&["inspect", "hello.kpkg", "--json"]).code(0).json();
    assert_eq!(line(&made.out), packed["id"].as_str().unwrap());
    env.pkg(&["db", "check", "x.zpkg"]).code(0).err_has(&["1 package, 1 blob"]);
    env.pkg(&["db", "to-kpkg", "x.zpkg", "-o", "again.kpkg.zst"]).code(0);
    env.pkg(&["cat", "again.kpkg.zst", "bin/hello"]).code(0).out_has(&["hej\n"]);
    env.pkg(&["inspect", "--check", "again.kpkg.zst"]).code(0).out_has(&[&format!("id={}", line(&made.out))]);
}

#[test]
fn a_package_goes_in_and_comes_out_the_same() {
    let env = env();
    env.pack("one", &[("a", "content of a\n"), ("b", "content of b\n")]);
    env.pack("two", &[("a", "content of a\n")]);
    env.pkg(&["db", "add-package", "repo.zpkg", "one.kpkg", "two.kpkg"]).code(0);
    env.pkg(&["db", "compress", "repo.zpkg", "--level", "9"]).code(0).out_has(&["blob "]);
    let list = env.pkg(&["db", "list", "repo.zpkg", "--json", "--blobs"]).code(0).json();
    assert_eq!((&list["packages"][1]["name"], &list["blob_count"]), (&"two".into(), &2.into()));
    for name in ["one", "two"] {
        let (from, to) = (format!("{name}.kpkg"), format!("{name}-again.kpkg"));
        env.pkg(&["db", "to-kpkg", "repo.zpkg", "--package", name, "-o", &to]).code(0);
        assert_eq!(std::fs::read(env.path(&from)).unwrap(), std::fs::read(env.path(&to)).unwrap());
    }
    env.pkg(&["db", "to-kpkg", "repo.zpkg", "-o", "which.kpkg"]).code(2).err_has(&["more than one"]);
    env.pkg(&["db", "to-kpkg", "repo.zpkg", "--package", "three", "-o", "x.kpkg"]).code(5);
    env.pkg(&["db", "add-package", "repo.zpkg", "one.kpkg"]).code(7).err_has(&["already"]);
}

#[test]
fn a_content_is_extracted_and_compared() {
    let env = env();
    env.write("content", "hej\n");
    env.write("other", "hop\n");
    env.pkg(&["db", "create", "x.zpkg"]).code(0);
    let added = env.pkg(&["db", "add-blob", "x.zpkg", "content"]).code(0);
    let digest = added.out.split(' ').nth(1).unwrap();
    env.pkg(&["db", "extract", "x.zpkg", digest, "-o", "out"]).code(0);
    env.pkg(&["db", "extract", "x.zpkg", digest, "-o", "-"]).code(0).out_has(&["hej\n"]);
    env.pkg(&["db", "compare", "x.zpkg", digest, "out"]).code(0);
    env.pkg(&["db", "compare", "x.zpkg", digest, "other"]).code(10).err_has(&["differs"]);
    env.pkg(&["db", "extract", "x.zpkg", &"0".repeat(64), "-o", "none"]).code(5);
    assert!(!env.path("none").exists());
}

#[test]
fn what_is_no_such_file_is_malformed() {
    let env = env();
    env.write("text", "SQLite format 3, or so they say");
    env.pkg(&["db", "list", "text"]).code(4);
    env.pkg(&["db", "check", "text"]).code(4);
    env.pkg(&["db", "add-blob", "missing.zpkg", "text"]).code(5).err_has(&["pkg db create"]);
}
