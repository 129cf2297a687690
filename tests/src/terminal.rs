//! Commands on a terminal, with somebody who types.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// How long nothing may happen before a test is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command that has a terminal of its own as its controlling one.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    text: String,
}

impl Terminal {
    /// Starts the command, its three streams on a new terminal.
    ///
    /// # Panics
    /// There is no terminal to be had, or no `setsid`.
    pub fn start(command: &Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal can be made");
        grantpt(&master).expect("the terminal is ours");
        unlockpt(&master).expect("the terminal is ours");
        let name = ptsname(&master, Vec::new()).expect("the terminal has a name").into_string().expect("in ASCII");
        let open = || File::options().read(true).write(true).open(&name).expect("the terminal can be opened");
        // As a terminal emulator does; whoever runs the tests may ignore hang-ups.
        let mut session = Command::new("env");
        session.args(["--default-signal=HUP", "setsid", "--ctty", "--wait"]);
        session.arg(command.get_program()).args(command.get_args()).env_clear();
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        session.current_dir(command.get_current_dir().unwrap_or_else(|| std::path::Path::new("/")));
        session.stdin(open()).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let child = session.spawn().expect("env can be started");
        Self { master: master.into(), child, text: String::new() }
    }

    /// Types a line.
    ///
    /// # Panics
    /// The terminal is closed.
    pub fn say(&mut self, line: &str) {
        writeln!(self.master, "{line}").expect("the terminal is open");
    }

    /// Presses Ctrl-C.
    ///
    /// # Panics
    /// The terminal is closed.
    pub fn press_ctrl_c(&mut self) {
        self.master.write_all(b"\x03").expect("the terminal is open");
    }

    /// Waits until this is on the terminal, and takes all up to it away.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.text.find(text) {
                let rest = self.text.split_off(at + text.len());
                return std::mem::replace(&mut self.text, rest);
            }
            assert!(self.read(), "`{text}` did not come; there is\n{}", self.text);
        }
    }

    /// Waits until nobody has the terminal open any more and the command has ended: its exit code, and what was still said.
    ///
    /// # Panics
    /// A signal ended the command.
    pub fn end(mut self) -> (i32, String) {
        while self.read() {}
        let status = self.child.wait().expect("it is our child");
        (status.code().unwrap_or_else(|| panic!("{status}\n{}", self.text)), self.text)
    }

    /// Closes the terminal, as if its window went, and waits for the end of the command.
    ///
    /// # Panics
    /// It can not be waited for.
    pub fn close(self) -> std::process::ExitStatus {
        let Self { master, mut child, .. } = self;
        drop(master);
        child.wait().expect("it is our child")
    }

    /// Reads more; whether there is more to come.
    fn read(&mut self) -> bool {
        let patience = Timespec::try_from(PATIENCE).expect("it is short");
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&patience)).expect("a terminal can be watched");
        assert!(ready > 0, "nothing comes any more; there is\n{}", self.text);
        let mut bytes = [0u8; 4096];
        // An error says that the last process has closed its end.
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(count) if count > 0 => {
                self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
            _ => false,
        }
    }
}
