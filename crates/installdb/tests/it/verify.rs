//! What a verification tells, and what it does not.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use installdb::{Aspect, Error, Event, Progress, VerifyOptions};
use pkgformat::Use;

use crate::scene::{Packed, Scene, name, pack};

fn hello() -> Packed {
    pack("hello 1-1").file("bin/hello", 0o755, "hej").config("etc/hello", "setting").build()
}

/// `path aspects`, with a mark at what is damage.
fn told(scene: &Scene, names: &[&str], options: VerifyOptions) -> Vec<String> {
    let names: Vec<_> = names.iter().map(|text| name(text)).collect();
    let differences = scene.installed().verify_with(&names, options, &mut ()).unwrap();
    let tell = |difference: &installdb::Difference| {
        let names: Vec<&str> = difference.aspects.iter().map(Aspect::name).collect();
        format!("{} {}{}", difference.path, names.join(","), if difference.is_damage() { " !" } else { "" })
    };
    differences.iter().map(tell).collect()
}

fn chmod(scene: &Scene, path: &str, mode: u32) {
    fs::set_permissions(scene.at(path), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn configuration_is_the_administrators_in_every_respect() {
    let scene = Scene::new();
    let all = VerifyOptions::default();
    let other = pack("other 1-1").config("etc/other", "x").build();
    scene.install(&[&hello(), &other]);
    scene.write("etc/hello", "mine");
    chmod(&scene, "etc/hello", 0o600);
    fs::remove_file(scene.at("etc/other")).unwrap();
    assert_eq!(told(&scene, &[], all), ["etc/hello content,mode", "etc/other missing"]);
    chmod(&scene, "bin/hello", 0o700);
    assert_eq!(told(&scene, &["hello"], all), ["bin/hello mode !", "etc/hello content,mode"]);
}

#[test]
fn what_may_change_may_change_in_its_content_alone() {
    let scene = Scene::new();
    let packed = pack("hello 1-1").file("lib/cache", 0o644, "old").edit("lib/cache", |entry| {
        entry.uses.insert(Use::Mutable);
    });
    scene.install(&[&packed.build()]);
    scene.write("lib/cache", "new");
    assert_eq!(told(&scene, &[], VerifyOptions::default()), ["lib/cache content"]);
    chmod(&scene, "lib/cache", 0o666);
    assert_eq!(told(&scene, &[], VerifyOptions::default()), ["lib/cache content,mode !"]);
}

#[test]
fn a_fast_look_believes_size_and_time_and_reads_the_rest() {
    let scene = Scene::new();
    scene.install(&[&pack("hello 1-1").file("a", 0o644, "one").file("b", 0o644, "two").build()]);
    let fast = VerifyOptions { fast: true };
    let time = fs::metadata(scene.at("a")).unwrap().modified().unwrap();
    fs::write(scene.at("a"), "ONE").unwrap();
    assert_eq!(told(&scene, &[], fast), ["a content !"], "the time tells");
    fs::File::options().write(true).open(scene.at("a")).unwrap().set_modified(time).unwrap();
    assert_eq!(told(&scene, &[], fast), [""; 0], "this is what it can not see");
    assert_eq!(told(&scene, &[], VerifyOptions::default()), ["a content !"]);
    fs::write(scene.at("b"), "two").unwrap();
    assert_eq!(told(&scene, &["hello"], fast), [""; 0], "another time alone is no difference");
}

#[test]
fn a_file_that_packages_share_is_damaged_for_each_of_them() {
    let scene = Scene::new();
    let [one, two] = ["one 1-1", "two 1-1"].map(|spec| pack(spec).file("share/text", 0o644, "same").build());
    scene.install(&[&one, &two]);
    scene.write("share/text", "else");
    assert_eq!(told(&scene, &[], VerifyOptions::default()), ["share/text content !"; 2]);
}

#[test]
fn many_files_large_and_small_are_all_looked_at() {
    let scene = Scene::new();
    let large = vec![7; 3 << 20];
    let mut packs: Vec<_> =
        (0..5).map(|n| pack(&format!("p{n} 1-1")).file(&format!("{n}/large"), 0o644, &large)).collect();
    for n in 0..700 {
        let pack = packs.remove(0).file(&format!("{}/{n}", n % 5), 0o644, n.to_string());
        packs.push(pack);
    }
    let packed: Vec<_> = packs.into_iter().map(crate::scene::Pack::build).collect();
    scene.install(&packed.iter().collect::<Vec<_>>());
    scene.assert_verified();
    for n in (0..700).step_by(70) {
        scene.write(&format!("{}/{n}", n % 5), "x");
    }
    scene.write("3/large", "x");
    assert_eq!(told(&scene, &[], VerifyOptions::default()).len(), 11);
}

#[test]
fn a_file_that_got_a_capability_is_not_what_it_was() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let scene = Scene::new();
    scene.install(&[&hello()]);
    // cap_net_raw, permitted and effective.
    let value = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let file = fs::File::open(scene.at("bin/hello")).unwrap();
    if pkgfs::fd::set_xattr(&file, b"security.capability", &value).is_ok() {
        assert_eq!(told(&scene, &[], VerifyOptions::default()), ["bin/hello xattrs !"]);
    }
}

/// It gives rights that the mode does not show.
#[test]
fn an_acl_that_no_package_sets_is_listed_and_no_damage() {
    let scene = Scene::new();
    scene.install(&[&hello()]);
    // The owner, user 99 and the group may read and execute, others too: what mode 0755 says, and one user more.
    let entries: [(u16, u16, u32); 5] = [(1, 7, !0), (2, 5, 99), (4, 5, !0), (16, 5, !0), (32, 5, !0)];
    let bytes = |(tag, rights, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let acl = [vec![2, 0, 0, 0], entries.map(bytes).concat()].concat();
    for path in ["bin", "bin/hello"] {
        let file = fs::File::open(scene.at(path)).unwrap();
        if pkgfs::fd::set_xattr(&file, b"system.posix_acl_access", &acl).is_err() {
            return;
        }
    }
    assert_eq!(told(&scene, &[], VerifyOptions::default()), ["bin xattrs", "bin/hello xattrs"]);
    chmod(&scene, "bin/hello", 0o775);
    assert_eq!(told(&scene, &[], VerifyOptions::default()), ["bin xattrs", "bin/hello mode,xattrs !"]);
}

#[test]
fn a_verification_can_be_stopped() {
    struct Stop;
    impl Progress for Stop {
        fn report(&mut self, _: Event<'_>) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let scene = Scene::new();
    scene.install(&[&hello()]);
    let stopped = scene.installed().verify_with(&[], VerifyOptions::default(), &mut Stop);
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
}

#[test]
fn what_cannot_be_read_is_no_damage() {
    let scene = Scene::new();
    scene.install(&[&hello()]);
    chmod(&scene, "bin/hello", 0);
    if fs::read(scene.at("bin/hello")).is_ok() {
        return;
    }
    let difference = scene.installed().verify(&[]).unwrap().remove(0);
    let names: Vec<&str> = difference.aspects.iter().map(Aspect::name).collect();
    assert_eq!(names, ["unreadable", "mode"]);
    assert!(difference.is_damage(), "its mode is");
}

#[test]
fn what_nobody_owns_is_listed_once_and_only_where_packages_are() {
    let scene = Scene::new();
    let paths = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        let found = scene.installed().unowned(&names, &mut ()).unwrap();
        found.paths.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let other = pack("other 1-1").file("lib/other/data", 0o644, "x").file("var/cache/x", 0o644, "x");
    scene.install(&[&hello(), &other.build()]);
    assert_eq!(paths(&[]), [""; 0]);
    for stray in ["bin/stray", "lib/other/more/a", "lib/other/more/b", "lib/mine/a", "var/cache/y", "home/ann/x", "top"]
    {
        scene.write(stray, "x");
    }
    for left in ["etc/hello.new", "etc/hello.save", "etc/stray.new"] {
        scene.write(left, "x");
    }
    assert_eq!(paths(&[]), ["bin/stray", "etc/stray.new", "lib/mine", "lib/other/more"]);
    assert_eq!(paths(&["hello"]), ["bin/stray", "etc/stray.new"]);
}

#[test]
fn a_folder_that_cannot_be_entered_keeps_nobody_from_the_rest() {
    let scene = Scene::new();
    scene.install(&[&pack("hello 1-1").file("closed/deep/a", 0o644, "a").file("open/b", 0o644, "b").build()]);
    chmod(&scene, "closed", 0);
    fs::remove_file(scene.at("open/b")).unwrap();
    let found = scene.installed().verify(&[]);
    let is_closed = fs::read_dir(scene.at("closed")).is_err();
    chmod(&scene, "closed", 0o755);
    let found: Vec<_> = found.unwrap().into_iter().map(|found| (found.path.to_string(), found.aspects)).collect();
    assert!(found.contains(&("open/b".into(), vec![Aspect::Missing])), "{found:?}");
    assert_eq!(found.contains(&("closed/deep/a".into(), vec![Aspect::Unreadable])), is_closed, "{found:?}");
}

/// Another process may change what is verified: what went, or came in another version, is no difference, and no failure.
#[test]
fn what_changes_during_a_verification_is_no_difference() {
    struct Change<'a>(Option<&'a Scene>);
    impl Progress for Change<'_> {
        fn report(&mut self, _: Event<'_>) -> ControlFlow<()> {
            if let Some(scene) = self.0.take() {
                let second = |package: &str| file(package, "2-1");
                scene.change(&[&second("a"), &second("b")], &["c"]).unwrap();
            }
            ControlFlow::Continue(())
        }
    }
    fn file(package: &str, version: &str) -> Packed {
        pack(&format!("{package} {version}")).file(&format!("usr/{package}"), 0o644, version).build()
    }
    for names in [&["a", "b", "c"][..], &[]] {
        let scene = Scene::new();
        let first: Vec<Packed> = ["a", "b", "c", "d"].iter().map(|package| file(package, "1-1")).collect();
        scene.install(&first.iter().collect::<Vec<_>>());
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        let differences =
            scene.installed().verify_with(&names, VerifyOptions::default(), &mut Change(Some(&scene))).unwrap();
        assert_eq!(differences, []);
        assert_eq!(scene.packages(), ["a 2-1", "b 2-1", "d 1-1"]);
        scene.write("usr/d", "damaged");
        assert_eq!(told(&scene, &[], VerifyOptions::default()), ["usr/d content !"]);
    }
}
