//! Packages by themselves: pack, unpack, inspect, cat.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

use std::fs;

use e2e::Env;

fn env() -> Env {
    Env::new(env!("CARGO_BIN_EXE_pkg-e2e"))
}

#[test]
fn a_tree_survives_packing_and_unpacking_whatever_the_compression() {
    let env = env();
    env.write("tree/bin/hello", "#!/bin/sh\necho hello\n");
    env.write("tree/share/empty", "");
    std::os::unix::fs::symlink("hello", env.path("tree/bin/hej")).unwrap();
    for ending in ["kpkg", "kpkg.zst", "kpkg.xz", "kpkg.gz"] {
        let (file, copy) = (format!("hello.{ending}"), format!("copy-{ending}"));
        env.pkg(&["pack", "tree", "-o", &file]).code(0);
        env.pkg(&["unpack", &file, "-C", &copy]).code(0);
        let relative = |name: &str| -> Vec<(String, String)> {
            let top = env.path(name);
            let strip = |path: std::path::PathBuf| path.strip_prefix(&top).unwrap().display().to_string();
            env.snapshot(name).into_iter().map(|(path, content)| (strip(path), content)).collect()
        };
        assert_eq!(relative("tree"), relative(&copy), "{ending}");
        env.pkg(&["cat", &file, "bin/hello"]).code(0).out_has(&["echo hello"]);
        env.pkg(&["inspect", "--check", &file]).code(0).out_has(&["name=hello\n", "version=0\n", "release=0\n"]);
    }
}

#[test]
fn the_plain_package_is_what_the_compressed_one_holds() {
    let env = env();
    env.pack("hello", &[("a", "content")]);
    env.pkg(&["pack", "hello-tree", "-o", "hello.kpkg.zst", "-m", "version=1.0", "-m", "release=1"]).code(0);
    let id = |file: &str| env.pkg(&["inspect", file, "--json"]).code(0).json()["id"].clone();
    assert_eq!(id("hello.kpkg"), id("hello.kpkg.zst"));
}

#[test]
fn files_are_listed_with_digest_and_size() {
    let env = env();
    env.pack("hello", &[("bin/hello", "hej")]);
    let files = env.pkg(&["inspect", "hello.kpkg", "--files", "--json"]).code(0).json();
    assert_eq!(files["format_version"], 1);
    assert_eq!(files["files"][1]["path"], "bin/hello");
    assert_eq!(files["files"][1]["size"], 3);
    assert_eq!(files["files"][1]["digest"], "9c478bf63e9500cb5db1e85ece82f18c8eb9e52e2f9135acd7f10972c8d563ba");
}

#[test]
fn what_is_no_package_is_malformed() {
    let env = env();
    env.write("text", "this is no package\n");
    env.pkg(&["inspect", "text"]).code(4).err_has(&["cannot read the package `text`", "byte 0"]);
    env.write("empty", "");
    env.pkg(&["unpack", "empty", "-C", "out"]).code(4);
    assert!(!env.path("out").exists());
    env.pkg(&["inspect", "missing"]).code(1).err_has(&["cannot open `missing`"]);
    env.pkg(&["inspect", "."]).code(1).err_has(&["is a folder", "hint: `pkg pack`"]);
}

#[test]
fn a_damaged_package_leaves_nothing_behind() {
    let env = env();
    let package = env.pack("hello", &[("bin/hello", "hej"), ("share/doc", "text")]);
    let whole = fs::read(&package).unwrap();
    for end in (0..whole.len()).step_by(7) {
        env.write("cut.kpkg", &whole[..end]);
        env.pkg(&["unpack", "cut.kpkg", "-C", "out"]).code(4);
        assert!(!env.path("out").exists(), "cut at {end}");
    }
    for at in (0..whole.len()).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        env.write("flipped.kpkg", bytes);
        env.pkg(&["unpack", "flipped.kpkg", "-C", "out"]).code(4);
        assert!(!env.path("out").exists(), "flipped at {at}");
    }
}

#[test]
fn nothing_is_unpacked_over_what_is_there_unasked() {
    let env = env();
    env.pack("hello", &[("a", "new")]);
    env.write("out/b", "mine");
    env.pkg(&["unpack", "hello.kpkg", "-C", "out"]).code(7).err_has(&["is not empty", "--into-existing"]);
    env.pkg(&["unpack", "hello.kpkg", "-C", "out", "--into-existing"]).code(0);
    assert_eq!(fs::read_to_string(env.path("out/b")).unwrap(), "mine");
    env.pkg(&["unpack", "hello.kpkg", "-C", "out", "--into-existing"]).code(1);
}

#[test]
fn a_link_in_the_folder_is_not_followed() {
    let env = env();
    env.pack("evil", &[("etc/passwd", "owned")]);
    env.write("victim/keep", "");
    fs::create_dir(env.path("out")).unwrap();
    std::os::unix::fs::symlink(env.path("victim"), env.path("out/etc")).unwrap();
    env.pkg(&["unpack", "evil.kpkg", "-C", "out", "--into-existing"]).code(1);
    assert!(!env.path("victim/passwd").exists());
}

#[test]
fn wrong_words_are_told_with_code_2() {
    let env = env();
    env.pkg(&[]).code(2);
    env.pkg(&["pak"]).code(2).err_has(&["pack"]);
    env.pkg(&["pack", "tree"]).code(2);
    env.pkg(&["pack", ".", "-o", "x.kpkg", "-m", "nothing"]).code(2);
    env.pkg(&["pack", ".", "-o", "UPPER.kpkg"]).code(2).err_has(&["package name", "-m name=NAME"]);
    env.pkg(&["--version"]).code(0).out_has(&["pkg"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::io::Read;
    use std::process::Stdio;
    let env = env();
    env.pack("big", &[("a", &"line\n".repeat(200_000))]);
    let mut child =
        env.command(&["cat", "big.kpkg", "a"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let env = env();
    env.pack("hello", &[("a", "content")]);
    let pipe = env.path("pipe.kpkg");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let reading = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    env.pkg(&["pack", "hello-tree", "-o", "pipe.kpkg", "-m", "name=hello", "-m", "version=1.0", "-m", "release=1"])
        .code(0);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(reading.join().unwrap(), fs::read(env.path("hello.kpkg")).unwrap());
}

#[test]
fn a_link_is_followed_to_the_file_that_is_replaced() {
    let env = env();
    env.write("real.kpkg", "old");
    std::os::unix::fs::symlink("real.kpkg", env.path("link.kpkg")).unwrap();
    env.write("tree/a", "content");
    env.pkg(&["pack", "tree", "-o", "link.kpkg"]).code(0);
    assert!(fs::symlink_metadata(env.path("link.kpkg")).unwrap().is_symlink());
    env.pkg(&["inspect", "real.kpkg", "--check"]).code(0);
}

#[test]
fn places_where_a_package_can_not_go() {
    let env = env();
    env.write("tree/a", "content");
    env.pkg(&["pack", "tree", "-o", "tree/x.kpkg"]).code(2).err_has(&["lies in the folder that is packed"]);
    env.pkg(&["pack", "tree", "-o", "new/"]).code(2);
    env.pkg(&["pack", "tree", "-o", "tree"]).code(2);
    env.pkg(&["pack", "tree", "-o", "nowhere/x.kpkg"]).code(1);
    assert_eq!(fs::read_dir(env.path("tree")).unwrap().count(), 1);
}

#[test]
fn a_full_disk_is_told() {
    let env = env();
    env.pack("hello", &[("a", "content")]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = env.command(&["cat", "hello.kpkg", "a"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_signal_stops_packing_and_leaves_nothing() {
    let env = env();
    let huge = fs::File::create(env.write("tree/huge", "")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let before = env.snapshot_names("");
    let mut child = env.command(&["pack", "tree", "-o", "huge.kpkg"]).spawn().unwrap();
    // The temporary file shows that packing began.
    while env.snapshot_names("").len() == before.len() {
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{status}");
    assert_eq!(before, env.snapshot_names(""));
}
