//! Scripts of converted packages, called as their own package manager calls them. Only on request.
//!
//! Left out, because there is nothing like it here: what `dpkg` calls when it takes something back (`abort-*`,
//! `failed-upgrade`), when it purges, and `config` of debconf; rpm's triggers, `verifyscript`, and scripts in its built-in Lua;
//! apk's `trigger`; Portage's phases.

use pkgformat::PackageMeta;
use pkgtypes::PackageName;

use crate::scripts::call::{Call, Program};

/// The package manager whose package it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Convention {
    Debian,
    Rpm,
    Apk,
    Pacman,
}

/// The scripts of one package, before and after the change.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    pub(crate) before: Vec<Call>,
    pub(crate) after: Vec<Call>,
}

/// What a package manager would call when `old` goes and `new` comes.
pub(crate) fn scripts(old: Option<&PackageMeta>, new: Option<&PackageMeta>) -> Scripts {
    let [old, new] = [old, new].map(|meta| meta.and_then(Foreign::of));
    let mut scripts = Scripts::default();
    match (&old, &new) {
        // Another manager's package in the place of one of this: the one goes, the other comes.
        (Some(old), Some(new)) if old.convention != new.convention => {
            old.removed(&mut scripts);
            new.installed(&mut scripts);
        }
        (Some(old), Some(new)) => new.upgraded(old, &mut scripts),
        (None, Some(new)) => new.installed(&mut scripts),
        (Some(old), None) => old.removed(&mut scripts),
        (None, None) => {}
    }
    scripts
}

/// A converted package.
struct Foreign<'a> {
    convention: Convention,
    meta: &'a PackageMeta,
}

impl<'a> Foreign<'a> {
    fn of(meta: &'a PackageMeta) -> Option<Self> {
        let convention = match value(meta, "foreign.format")? {
            b"deb" => Convention::Debian,
            b"rpm" => Convention::Rpm,
            b"apk" => Convention::Apk,
            b"pacman" => Convention::Pacman,
            _ => return None,
        };
        Some(Self { convention, meta })
    }

    /// The version in its own manager's words.
    fn version(&self) -> &'a [u8] {
        value(self.meta, "foreign.version").unwrap_or_default()
    }

    fn installed(&self, scripts: &mut Scripts) {
        let version = self.version();
        match self.convention {
            Convention::Debian => {
                scripts.before.extend(self.call("preinst", &[b"install"]));
                scripts.after.extend(self.call("postinst", &[b"configure", b""]));
            }
            Convention::Rpm => {
                scripts.before.extend(self.calls(&["pretrans", "pre"], &[b"1"]));
                scripts.after.extend(self.calls(&["post", "posttrans"], &[b"1"]));
            }
            Convention::Apk => {
                scripts.before.extend(self.call("pre-install", &[version]));
                scripts.after.extend(self.call("post-install", &[version]));
            }
            Convention::Pacman => {
                scripts.before.extend(self.function("pre_install", &[version]));
                scripts.after.extend(self.function("post_install", &[version]));
            }
        }
    }

    fn upgraded(&self, old: &Self, scripts: &mut Scripts) {
        let (from, to) = (old.version(), self.version());
        let Scripts { before, after } = scripts;
        match self.convention {
            Convention::Debian => {
                before.extend(old.call("prerm", &[b"upgrade", to]));
                before.extend(self.call("preinst", &[b"upgrade", from, to]));
                after.extend(old.call("postrm", &[b"upgrade", to]));
                after.extend(self.call("postinst", &[b"configure", from]));
            }
            Convention::Rpm => {
                before.extend(self.calls(&["pretrans", "pre"], &[b"2"]));
                after.extend(self.call("post", &[b"2"]));
                after.extend(old.calls(&["preun", "postun"], &[b"1"]));
                after.extend(self.call("posttrans", &[b"2"]));
            }
            Convention::Apk => {
                before.extend(self.call("pre-upgrade", &[to, from]));
                after.extend(self.call("post-upgrade", &[to, from]));
            }
            Convention::Pacman => {
                before.extend(self.function("pre_upgrade", &[to, from]));
                after.extend(self.function("post_upgrade", &[to, from]));
            }
        }
    }

    fn removed(&self, scripts: &mut Scripts) {
        let version = self.version();
        let Scripts { before, after } = scripts;
        match self.convention {
            Convention::Debian => {
                before.extend(self.call("prerm", &[b"remove"]));
                after.extend(self.call("postrm", &[b"remove"]));
            }
            Convention::Rpm => {
                before.extend(self.calls(&["preuntrans", "preun"], &[b"0"]));
                after.extend(self.calls(&["postun", "postuntrans"], &[b"0"]));
            }
            Convention::Apk => {
                before.extend(self.call("pre-deinstall", &[version]));
                after.extend(self.call("post-deinstall", &[version]));
            }
            Convention::Pacman => {
                before.extend(self.function("pre_remove", &[version]));
                after.extend(self.function("post_remove", &[version]));
            }
        }
    }

    fn calls(&self, names: &[&str], arguments: &[&[u8]]) -> Vec<Call> {
        names.iter().filter_map(|name| self.call(name, arguments)).collect()
    }

    /// The script of this name, if there is one that a program of the root can run.
    fn call(&self, name: &str, arguments: &[&[u8]]) -> Option<Call> {
        let content = value(self.meta, &format!("foreign.script.{name}"))?;
        // rpm's own Lua; and its `ldconfig` without a script, which the libraries' trigger stands for.
        if content.starts_with(b"#!<") || content.trim_ascii_end().ends_with(b"#!/sbin/ldconfig") {
            return None;
        }
        Some(self.with(name, arguments, content.to_vec()))
    }

    /// A function of pacman's one script, which it calls where the name stands at the beginning of a line.
    fn function(&self, name: &str, arguments: &[&[u8]]) -> Option<Call> {
        let script = value(self.meta, "foreign.script.install")?;
        if !script.split(|&byte| byte == b'\n').any(|line| line.starts_with(name.as_bytes())) {
            return None;
        }
        let content = [b"#!/bin/sh\n", script, format!("\n{name} \"$@\"\n").as_bytes()].concat();
        Some(self.with(name, arguments, content))
    }

    fn with(&self, name: &str, arguments: &[&[u8]], content: Vec<u8>) -> Call {
        let program = Program {
            arguments: arguments.iter().map(|word| word.to_vec()).collect(),
            environment: self.environment(name),
            content,
            ..Program::default()
        };
        Call { package: self.name().clone(), stage: format!("foreign {name}"), program }
    }

    fn name(&self) -> &'a PackageName {
        &self.meta.name
    }

    /// Debian's scripts ask for these, and debconf is not to wait for somebody.
    fn environment(&self, script: &str) -> Vec<Vec<u8>> {
        if self.convention != Convention::Debian {
            return Vec::new();
        }
        let name = value(self.meta, "foreign.name").unwrap_or(self.name().as_str().as_bytes());
        let arch = value(self.meta, "foreign.arch").unwrap_or_default();
        let variables: [(&str, &[u8]); 8] = [
            ("DPKG_MAINTSCRIPT_PACKAGE", name),
            ("DPKG_MAINTSCRIPT_ARCH", arch),
            ("DPKG_MAINTSCRIPT_NAME", script.as_bytes()),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", b"1"),
            ("DPKG_ADMINDIR", b"/var/lib/dpkg"),
            ("DPKG_ROOT", b""),
            ("DEBIAN_FRONTEND", b"noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", b"true"),
        ];
        // A NUL would end the variable where it is stored.
        let plain = |value: &[u8]| value.iter().copied().filter(|&byte| byte != 0).collect::<Vec<u8>>();
        variables.iter().map(|(name, value)| [name.as_bytes(), b"=", &*plain(value)].concat()).collect()
    }
}

fn value<'a>(meta: &'a PackageMeta, name: &str) -> Option<&'a [u8]> {
    meta.other.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(format: &str, version: &str, scripts: &[&str]) -> PackageMeta {
        let parts = ("tool".parse().unwrap(), "1".parse().unwrap(), "0".parse().unwrap(), "noarch".parse().unwrap());
        let mut meta = PackageMeta::new(parts.0, parts.1, parts.2, parts.3);
        meta.other.push(("foreign.format".into(), format.into()));
        meta.other.push(("foreign.version".into(), version.into()));
        for name in scripts {
            let text = "#!/bin/sh\npost_install() {\n:\n}\npre_remove() {\n:\n}\n";
            meta.other.push((format!("foreign.script.{name}"), text.into()));
        }
        meta
    }

    /// `script arguments` before the change, `|`, and after it.
    fn told(old: Option<&PackageMeta>, new: Option<&PackageMeta>) -> String {
        let Scripts { before, after } = scripts(old, new);
        let words = |call: &Call| {
            let arguments = call.program.arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned());
            [call.stage["foreign ".len()..].to_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
        };
        let list = |calls: &[Call]| calls.iter().map(words).collect::<Vec<_>>().join(", ");
        format!("{} | {}", list(&before), list(&after))
    }

    #[test]
    fn each_manager_has_its_own_words() {
        let deb = |version| meta("deb", version, &["preinst", "postinst", "prerm", "postrm", "config"]);
        let (one, two) = (deb("1:1-1"), deb("1:2-1"));
        assert_eq!(told(None, Some(&one)), "preinst install | postinst configure ");
        let upgrade =
            "prerm upgrade 1:2-1, preinst upgrade 1:1-1 1:2-1 | postrm upgrade 1:2-1, postinst configure 1:1-1";
        assert_eq!(told(Some(&one), Some(&two)), upgrade);
        assert_eq!(told(Some(&two), None), "prerm remove | postrm remove");
        let rpm = meta("rpm", "1-1", &["pre", "post", "preun", "postun", "posttrans"]);
        assert_eq!(told(None, Some(&rpm)), "pre 1 | post 1, posttrans 1");
        assert_eq!(told(Some(&rpm), Some(&rpm)), "pre 2 | post 2, preun 1, postun 1, posttrans 2");
        assert_eq!(told(Some(&rpm), None), "preun 0 | postun 0");
        let apk = meta("apk", "1-r0", &["pre-install", "post-upgrade", "post-deinstall"]);
        assert_eq!(told(None, Some(&apk)), "pre-install 1-r0 | ");
        assert_eq!(told(Some(&apk), Some(&apk)), " | post-upgrade 1-r0 1-r0");
        assert_eq!(told(Some(&apk), None), " | post-deinstall 1-r0");
        let pacman = meta("pacman", "1-1", &["install"]);
        assert_eq!(told(None, Some(&pacman)), " | post_install 1-1");
        assert_eq!(told(Some(&pacman), Some(&pacman)), " | ");
        assert_eq!(told(Some(&pacman), None), "pre_remove 1-1 | ");
        assert_eq!(told(Some(&one), Some(&rpm)), "prerm remove, pre 1 | postrm remove, post 1, posttrans 1");
    }

    #[test]
    fn what_nothing_can_run_is_left_out() {
        let mut rpm = meta("rpm", "1-1", &[]);
        rpm.other.push(("foreign.script.pre".into(), b"#!<lua>\nx()\n".to_vec()));
        rpm.other.push(("foreign.script.post".into(), b"#!/sbin/ldconfig\n".to_vec()));
        assert_eq!(told(None, Some(&rpm)), " | ");
        assert_eq!(told(None, Some(&meta("gpkg", "1", &["postinst"]))), " | ");
        let plain = meta("x", "1", &[]);
        assert_eq!(told(Some(&plain), Some(&meta("deb", "1", &["postinst"]))), " | postinst configure ");
    }
}
