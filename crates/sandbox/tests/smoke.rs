use sandbox::*;
fn sh(cmd: &str) -> Room {
    let mut room = Room::new(Root::Dir{path:"/".into(),access:Access::Ro,owner:Owner::Host}, "/bin/sh");
    room.args(["-c", cmd]).env("PATH", "/usr/bin:/bin");
    room
}
#[test]
fn smoke() {
    eprintln!("{:#?}", probe());
    let (o, out, err) = sh("cat /proc/mounts; ls /; ls -ld /etc; exit 7").output().unwrap();
    eprintln!("{o:?}\n{}\n--\n{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert_eq!(o.exit, Exit::Code(7));
    let mut times: Vec<_> = (0..200).map(|_| { let mut r = Room::new(Root::dir("/usr", Access::Ro), "/bin/true"); r.stdout=Output::Null; r.stderr=Output::Null; r.spawn().unwrap().wait().unwrap().usage.wall }).collect(); 
    times.sort();
    eprintln!("min {:?} p50 {:?}", times[0], times[100]);
    let mut times: Vec<_> = (0..200).map(|_| { let s=std::time::Instant::now(); std::process::Command::new("/bin/true").status().unwrap(); s.elapsed() }).collect(); 
    times.sort();
    eprintln!("min {:?} p50 {:?}", times[0], times[100]);
}
