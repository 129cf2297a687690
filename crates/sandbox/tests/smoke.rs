use sandbox::*;
fn sh(cmd: &str) -> Room {
    let mut room = Room::new(Root::layers(["/"]), "/bin/sh");
    room.args(["-c", cmd]).env("PATH", "/usr/bin:/bin");
    room
}
#[test]
fn smoke() {
    eprintln!("{:#?}", probe());
    let (o, out, err) = sh("id; cat /proc/self/status | grep -E 'Cap|NoNew|Seccomp|Sig'; ls -la / /dev; ls -l /proc/self/fd; cat /proc/mounts; ps aux; env; exit 7").output().unwrap();
    eprintln!("{o:?}\n{}\n--\n{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert_eq!(o.exit, Exit::Code(7));
}
