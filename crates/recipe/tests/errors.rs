//! Every way in which a recipe can be wrong, and what is said of it.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests arrange trees of their own")]

mod arrange;

use arrange::Tree;
use proptest::prelude::*;

const HEX: &str = "31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b";

/// A recipe that is right but for one file.
fn with(file: &str, content: &str) -> Result<(), String> {
    let tree = Tree::new();
    tree.put("a/1.2/3", "type", "binary\n").put("a/1.2/3", "build", "#!/bin/sh\n");
    tree.put("a/1.2/3", "outputs", "a-dev: usr/include/**\n").put("a/1.2/3", "own.patch", "");
    tree.put("a/1.2/3", file, content.replace("HEX", HEX));
    tree.load("a/1.2/3").map(drop)
}

macro_rules! refused {
    ($($name:ident: $file:literal, $content:expr => $message:expr;)+) => {$(
        #[test]
        fn $name() {
            assert_eq!(with($file, $content).unwrap_err(), format!("ga/a/1.2/3/{}", $message));
        }
    )+};
}

refused! {
    unknown_type: "type", "bniary\n" => "type:1:1: unknown type `bniary`; did you mean `binary`?";
    unknown_flag: "type", "binary statci\n" => "type:1:8: unknown flag `statci`; did you mean `static`?";
    flag_twice: "type", "binary static static\n" => "type:1:15: the flag `static` stands already in line 1";
    two_types: "type", "binary\n# and\nsource\n" => "type:3:1: `source` is one word too many";
    flag_of_the_other_type: "type", "source static\n" => "type:1:8: `static` can not stand here: the flag is for binary recipes";

    dependency_name: "deps", "Zlib\n" => "deps:1:1: `Zlib` is not a valid package spec: it must begin with a lower case letter or a digit";
    dependency_version: "deps", "zlib/1-2\n" => "deps:1:1: `1-2` is not a valid version: only letters, digits, `.`, `+`, `_`, `~` and `^` may stand in it";
    dependency_release: "deps", "zlib/1.2/01\n" => "deps:1:1: `01` is not a valid release: it has a leading zero";
    dependency_option: "deps", "zlib att=/src\n" => "deps:1:6: unknown option `att`; did you mean `at`?";
    dependency_word: "deps", "zlib form x\n" => "deps:1:6: unknown word `form`; did you mean `from`?";
    dependency_twice: "deps", "zlib\nm4\nzlib/1/1\n" => "deps:3:1: the dependency `zlib/1/1` stands already in line 1";
    from_nothing: "deps", "zlib-dev from\n" => "deps:1:14: a recipe's name after `from` is expected here";
    latest_nothing: "deps", "latest\n" => "deps:1:7: a package after `latest` is expected here";
    latest_with_version: "deps", "latest a>=1\n" => "deps:1:8: `a>=1` can not stand here: `latest` takes a name without a version";
    latest_without_lock: "deps", "latest curl\n" => "deps:1:8: `latest curl` floats: a binary recipe needs a `lock` line for it";
    relative_place: "deps", "x at=src\n" => "deps:1:6: `src` can not stand here: an absolute path is expected";
    place_of_the_room: "deps", "x at=/build/x\n" => "deps:1:6: `/build/x` can not stand here: the room needs that folder itself";
    name_without_place: "deps", "x as=SRC\n" => "deps:1:9: an `at=` that `as=` can name is expected here";
    reserved_name: "deps", "x at=/x as=PATH\n" => "deps:1:12: `PATH` can not stand here: the room sets this variable itself";
    unknown_arch: "deps.x86-64", "m4\n" => "deps.x86-64: `x86-64` is no architecture of this recipe; did you mean `x86_64`?";

    rundep_half: "rundeps", "a | \n" => "rundeps:1:4: a requirement on both sides of the `|` is expected here";
    rundep_operator: "rundeps", "a == 1\n" => "rundeps:1:1: `==` is not a valid operator: it is none of < <= = >= > ~";
    rundep_surplus: "rundeps", "a b\n" => "rundeps:1:3: `b` is one word too many";
    rundep_twice: "rundeps", "b>=1\nb >= 1\n" => "rundeps:2:1: the requirement `b` stands already in line 1";
    rundep_removal: "rundeps", "!so:x y\n" => "rundeps:1:7: `y` is one word too many";
    unknown_output: "rundeps.a-devel", "b\n" => "rundeps.a-devel: `a-devel` is no output of this recipe; did you mean `a-dev`?";

    unknown_name: "meta", "descripton=x\n" => "meta:1:1: unknown name `descripton`; did you mean `description`?";
    name_of_the_folder: "meta", "version=1\n" => "meta:1:1: `version` can not stand here: the recipe's folder says it";
    name_of_another_file: "meta", "requires=x\n" => "meta:1:1: `requires` can not stand here: the file `rundeps` says it";
    no_value: "meta", "url\n" => "meta:1:4: `=` and a value is expected here";
    empty_value: "meta", "url=\n" => "meta:1:5: a value is expected here";
    blank_at_the_end: "meta", "url=x \n" => "meta:1:6: ` ` can not stand here: a value does not end in blanks";
    tab_in_a_value: "meta", "description=a\tb\n" => "meta:1:14: the control character U+0009 can not stand in a recipe";
    second_url: "meta", "url=x\nurl=y\n" => "meta:2:1: the value `url` stands already in line 1";
    script_that_is_not_there: "meta", "script.post-install=own.path\n" => "meta:1:21: there is no file `own.path` in this recipe; did you mean `own.patch`?";
    date: "meta", "source-date=yesterday\n" => "meta:1:13: `yesterday` is not a valid time: decimal seconds are expected";
    relation: "meta", "provides=a>=1\n" => "meta:1:10: `a>=1` is not a valid package name: only a-z, 0-9, `+`, `.`, `_` and `-` may stand in it";

    source_kind: "sources", "tarr x sha256:HEX https://x/y\n" => "sources:1:1: unknown kind of source `tarr`; did you mean `tar`?";
    source_without_digest: "sources", "tar x\n" => "sources:1:6: a digest is expected here";
    source_without_url: "sources", "file x sha256:HEX\n" => "sources:1:79: a URL is expected here";
    short_digest: "sources", "file x sha256:12 https://x/y\n" => "sources:1:15: `12` is not a valid digest: 64 lower case hex digits are expected";
    digest_kind: "sources", "file x sha265:HEX https://x/y\n" => "sources:1:8: unknown digest `sha265`; did you mean `sha256`?";
    commit_of_a_file: "sources", "file x commit:12 https://x/y\n" => "sources:1:8: `commit:12` can not stand here: only a git source has a `commit:`";
    digest_of_git: "sources", "git x sha256:HEX https://x/y\n" => "sources:1:7: `sha256:HEX` can not stand here: a git source has a `commit:`".replace("HEX", HEX);
    short_commit: "sources", "git x commit:12 https://x/y\n" => "sources:1:14: a commit id of 40 or 64 lower case hex digits is expected here";
    scheme: "sources", "file x sha256:HEX htps://x/y\n" => "sources:1:80: unknown scheme `htps`; did you mean `https`?";
    apt_url: "sources", "deb x sha256:HEX apt:gcc\n" => "sources:1:79: `apt:gcc` is not a valid URL: `apt:NAME=VERSION` is expected";
    apt_src_url: "sources", "tar x sha256:HEX apt-src:gcc=1\n" => "sources:1:79: `apt-src:gcc=1` is not a valid URL: `apt-src:NAME=VERSION/FILE` is expected";
    password_in_a_url: "sources", "file x sha256:HEX https://me:pw@x/y\n" => "sources:1:80: `https://me:pw@x/y` is not a valid URL: a user name can not stand in it";
    placeholder: "sources", "file x-%q sha256:HEX https://x/y\n" => "sources:1:8: one of %n %v %r %% is expected here";
    source_option: "sources", "tar x sha256:HEX https://x/y stirp=1\n" => "sources:1:91: unknown option `stirp`; did you mean `strip`?";
    option_of_another_kind: "sources", "file x sha256:HEX https://x/y strip=1\n" => "sources:1:92: `strip` can not stand here: the option is not for this kind of source";
    option_twice: "sources", "tar x sha256:HEX https://x/y strip=1 strip=2\n" => "sources:1:99: the option `strip` stands already in line 1";
    strip_of_a_word: "sources", "tar x sha256:HEX https://x/y strip=+1\n" => "sources:1:97: a number from 0 to 64 is expected here";
    setid_source: "sources", "file x sha256:HEX https://x/y mode=4755\n" => "sources:1:97: `4755` can not stand here: setid bits stand in `perms`";
    climbing_source: "sources", "tar x sha256:HEX https://x/y to=../x\n" => "sources:1:94: `../x` is not a valid package path: `.` and `..` are no components";
    folder_in_a_name: "sources", "tar x/y sha256:HEX https://x/y\n" => "sources:1:5: `x/y` can not stand here: a file name without `/` is expected";
    source_twice: "sources", "file x sha256:HEX https://x/y\nfile x sha256:HEX https://x/z\n" => "sources:2:6: the source `x` stands already in line 1";
    resource_that_is_not_there: "sources", "patch own.ptch -\n" => "sources:1:1: there is no file `own.ptch` in this recipe; did you mean `own.patch`?";
    resource_with_url: "sources", "patch own.patch - https://x/y\n" => "sources:1:19: `https://x/y` can not stand here: `-` stands for a file of this recipe, which has no URL";
    folder_with_digest: "sources", "dir x sha256:HEX\n" => "sources:1:7: `sha256:HEX` can not stand here: a `dir` is a folder of this recipe, and `-` stands here".replace("HEX", HEX);

    output_without_colon: "outputs", "a-dev usr/**\n" => "outputs:1:1: `OUTPUT:` and patterns is expected here";
    output_without_blank: "outputs", "a-dev:usr/**\n" => "outputs:1:7: a blank after the `:` is expected here";
    output_without_pattern: "outputs", "a-dev: !usr\n" => "outputs:1:12: a pattern is expected here";
    output_twice: "outputs", "b: x\nb: y\n" => "outputs:2:1: the output `b` stands already in line 1";
    absolute_pattern: "outputs", "b: /usr/**\n" => "outputs:1:4: `/usr/**` is not a valid pattern: a path without a `/` at its beginning is expected";

    variable_name: "env", "1A=x\n" => "env:1:1: `1A` can not stand here: a variable's name has letters, digits and `_` only";
    variable_of_the_room: "env", "DESTDIR=/x\n" => "env:1:1: `DESTDIR` can not stand here: the room sets this variable itself";
    variable_twice: "env", "A=1\nA=2\n" => "env:2:1: the variable `A` stands already in line 1";

    unknown_lint: "lint", "setuid # because\n" => "lint:1:1: unknown lint `setuid`; did you mean `setid`?";
    lint_without_reason: "lint", "setid usr/bin/su\n" => "lint:1:17: `#` and a reason is expected here";
    lint_with_empty_reason: "lint", "setid #\n" => "lint:1:8: a reason is expected here";

    short_perms: "perms", "usr/bin/su 4755 root\n" => "perms:1:21: `GLOB MODE OWNER GROUP` is expected here";
    mode_of_three_digits: "perms", "usr/bin/su 755 root root\n" => "perms:1:12: `755` is not a valid mode: four octal digits are expected";
    owner_in_capitals: "perms", "x 0755 Root root\n" => "perms:1:8: `Root` can not stand here: a user or group has a name of a-z, 0-9, `_` and `-`, or a decimal id";
    unknown_capability: "perms", "x 0755 root root cap=net_raw+p\n" => "perms:1:22: `net_raw+p` is not a valid set of file capabilities: Linux has no capability of that name";

    lock_shape: "lock", "dep latest curl -> curl/1/1\n" => "lock:1:28: `dep latest NAME -> NAME/VERSION/RELEASE sha256:HEX` is expected here";
    lock_without_release: "lock", "dep latest curl -> curl/1 sha256:HEX\n" => "lock:1:20: NAME/VERSION/RELEASE is expected here";

    links_beside_build: "links", "usr/bin/x y\n" => "links: `links` is for recipes without a build script";
    hidden_file: ".gitignore", "" => ".gitignore: hidden files can not be in a recipe";
    backup_file: "build~", "" => "build~: an editor's backup can not be in a recipe";
}

#[test]
fn a_folder_without_a_type_is_no_recipe() {
    let tree = Tree::new();
    tree.put("a/1/1", "build", "");
    let message = "ga/a/1/1: the file `type` is missing: it says `source` or `binary`";
    assert_eq!(tree.load("a/1/1").unwrap_err(), message);
    tree.put("a/1/1", "type", "# nothing\n");
    assert_eq!(tree.load("a/1/1").unwrap_err(), message);
}

#[test]
fn a_script_must_be_executable() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::of("== a/1/1\n-- type\nbinary\n-- build\n");
    let build = tree.folder("a/1/1").join("build");
    std::fs::set_permissions(build, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(tree.load("a/1/1").unwrap_err(), "ga/a/1/1/build: the script is not executable: chmod +x");
}

#[test]
fn links_and_empty_folders_are_refused() {
    let tree = Tree::of("== a/1/1\n-- type\nbinary\n-- build\n");
    std::os::unix::fs::symlink("build", tree.folder("a/1/1").join("check")).unwrap();
    assert_eq!(tree.load("a/1/1").unwrap_err(), "ga/a/1/1/check: symbolic links can not be in a recipe");
    let tree = Tree::of("== a/1/1\n-- type\nbinary\n-- build\n");
    std::fs::create_dir(tree.folder("a/1/1").join("empty")).unwrap();
    assert_eq!(tree.load("a/1/1").unwrap_err(), "ga/a/1/1/empty: the folder is empty, so no hash would cover it");
}

#[test]
fn a_line_file_has_a_limit() {
    let tree = Tree::of("== a/1/1\n-- type\nbinary\n-- build\n");
    tree.put("a/1/1", "deps", "#\n".repeat(600_000));
    assert_eq!(tree.load("a/1/1").unwrap_err(), "ga/a/1/1/deps: the file has 1048577 bytes, the limit is 1048576");
}

#[test]
fn what_a_type_can_not_have() {
    for (recipe, message) in [
        (
            "-- type\nbinary\n",
            "ga/a/1/1: the file `build` is missing: a binary recipe builds, or unpacks `sources`, or is `meta-only`",
        ),
        (
            "-- type\nsource\n",
            "ga/a/1/1: the file `sources` is missing: without a build script something must be fetched",
        ),
        (
            "-- type\nbinary meta-only\n-- build\n",
            "ga/a/1/1/build: a `meta-only` recipe has no files, it only needs others",
        ),
        (
            "-- type\nbinary meta-only\n-- deps.x86_64\nm4\n",
            "ga/a/1/1/deps.x86_64: a `meta-only` recipe has no files, it only needs others",
        ),
        ("-- type\nsource\n-- build\n-- test\n", "ga/a/1/1/test: a source recipe has nothing to test"),
        ("-- type\nbinary\n-- check\n", "ga/a/1/1/check: without a build script there is nothing to check"),
    ] {
        assert_eq!(Tree::of(&format!("== a/1/1\n{recipe}")).load("a/1/1").unwrap_err(), message);
    }
}

#[test]
fn places_that_are_no_recipes() {
    for (id, message) in [
        ("A/1/1", "ga/A: `A` is not a valid package name: it must begin with a lower case letter or a digit"),
        (
            "a/1-2/1",
            "ga/a/1-2: `1-2` is not a valid version: only letters, digits, `.`, `+`, `_`, `~` and `^` may stand in it",
        ),
        ("a/0:1/1", "ga/a/0:1: the usual spelling is `1`"),
        ("a/1/r1", "ga/a/1/r1: `r1` is not a valid release: a decimal number is expected"),
    ] {
        let tree = Tree::new();
        tree.put(id, "type", "binary\n");
        assert_eq!(tree.open().unwrap_err(), message);
    }
    let tree = Tree::new();
    std::fs::write(tree.path().join("ga/README"), "").unwrap();
    assert_eq!(tree.open().unwrap_err(), "ga/README: a folder is expected here");
}

#[test]
fn suggestions_are_data() {
    let tree = Tree::of("== a/1/1\n-- type\nbinary statci\n");
    let error = recipe::Recipe::load(&tree.folder("a/1/1"), arrange::recipe_id("a/1/1")).unwrap_err();
    assert_eq!(error.suggestions(), ["static"]);
    let position = error.position().unwrap();
    assert_eq!((position.line, position.column), (1, 8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever stands in a file: the recipe is read or refused with a place, never a panic.
    #[test]
    fn any_text_is_read_or_refused(
        file in proptest::sample::select(recipe::KNOWN_FILES.to_vec()),
        text in "[ a-z=:/%!#|<>~*\\[\\]\\\\0-9.\n\t@+\u{e9}-]{0,80}",
        prefix in proptest::sample::select(vec!["", "binary ", "latest ", "tar x sha256:", "dep latest ", "setid ", "url=", "a: ", "usr 0755 "]),
    ) {
        let tree = Tree::of("== a/1/1\n-- type\nbinary\n-- build\n");
        tree.put("a/1/1", file, format!("{prefix}{text}"));
        if let Err(message) = tree.load("a/1/1") {
            prop_assert!(message.starts_with("ga/a/1/1"), "{message}");
        }
    }
}
