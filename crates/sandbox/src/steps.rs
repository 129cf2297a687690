//! A list of steps that grows.

use std::borrow::Cow;

use crate::Error;
use crate::plan::c_string;
use crate::sys::step::{Ownership, Slot, Step};

/// Steps with a name for each, and the slots they use.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub steps: Vec<Step>,
    pub names: Vec<Cow<'static, str>>,
    pub slots: usize,
}

impl Steps {
    pub(crate) fn push(&mut self, name: impl Into<Cow<'static, str>>, step: Step) {
        self.steps.push(step);
        self.names.push(name.into());
    }

    pub(crate) fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }

    /// Adds the steps of `others`, which use the same slots.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.steps.append(&mut others.steps);
        self.names.append(&mut others.names);
        self.slots = self.slots.max(others.slots);
    }

    /// A detached file system in memory.
    pub(crate) fn tmpfs(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        size: u64,
        mode: u32,
        owner: Ownership,
        attributes: u64,
    ) -> Result<Slot, Error> {
        let (name, fs, slot) = (name.into(), self.slot(), self.slot());
        self.push(name.clone(), Step::FsOpen { slot: fs, kind: c"tmpfs".to_owned() });
        let options = [
            (c"size", size.to_string()),
            // Empty files take no bytes of the size, but memory of the kernel.
            (c"nr_inodes", (size / 2048 + 1024).to_string()),
            (c"mode", format!("{mode:o}")),
            (c"uid", owner.uid.to_string()),
            (c"gid", owner.gid.to_string()),
        ];
        for (key, value) in options {
            self.push(name.clone(), Step::FsString { fs, key: key.to_owned(), value: c_string(value)? });
        }
        self.push(name, Step::FsMount { fs, slot, attributes });
        Ok(slot)
    }
}
