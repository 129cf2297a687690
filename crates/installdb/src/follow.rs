//! Following symbolic links inside a root.

use pkgfs::{FileKind, Root, Stat};
use pkgtypes::PkgPath;

use crate::LinkProblem;
use crate::error::Result;

/// As many links as the kernel follows for one path.
pub(crate) const MOST_LINKS: usize = 40;

/// What a path leads to: a folder (`None` is the root's top), or the first link on the way that is not followed, and why.
pub(crate) type Leads = Result<Option<PkgPath>, LinkProblem>;

/// Who follows, and which links.
pub(crate) struct Follower<'a> {
    pub(crate) root: &'a Root,
    /// Says why a link is not followed.
    pub(crate) refuse: &'a dyn Fn(&PkgPath, &Stat) -> Result<Option<LinkProblem>>,
    pub(crate) left: usize,
}

impl Follower<'_> {
    /// The folder that a link leads to.
    pub(crate) fn link(&mut self, link: &PkgPath, stat: &Stat) -> Result<Leads> {
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Ok(Err(LinkProblem::Loop)),
        };
        if let Some(problem) = (self.refuse)(link, stat)? {
            return Ok(Err(problem));
        }
        let Ok(target) = self.root.read_link(link) else { return Ok(Err(LinkProblem::Unreadable)) };
        let start = if target.starts_with(b"/") { None } else { link.parent() };
        self.walk(start, target.split(|&byte| byte == b'/'))
    }

    /// Goes from a folder by these names. The root's top has no folder above it.
    pub(crate) fn walk<'n>(&mut self, start: Option<PkgPath>, names: impl Iterator<Item = &'n [u8]>) -> Result<Leads> {
        let mut here = start;
        for name in names {
            match name {
                b"" | b"." => continue,
                b".." => {
                    let Some(path) = here else { return Ok(Err(LinkProblem::Outside)) };
                    here = path.parent();
                    continue;
                }
                _ => {}
            }
            let next = here.as_ref().map_or_else(|| PkgPath::new(name), |folder| folder.join(name));
            let Ok(next) = next else { return Ok(Err(LinkProblem::Dangling)) };
            let Ok(stat) = self.root.stat(&next) else { return Ok(Err(LinkProblem::Unreadable)) };
            here = match stat {
                None => return Ok(Err(LinkProblem::Dangling)),
                Some(stat) if stat.kind == FileKind::Dir => Some(next),
                Some(stat) if stat.kind == FileKind::Symlink => match self.link(&next, &stat)? {
                    Ok(folder) => folder,
                    problem => return Ok(problem),
                },
                Some(_) => return Ok(Err(LinkProblem::NotAFolder)),
            };
        }
        Ok(Ok(here))
    }
}

/// Whose links are nobody's but the administrator's.
pub(crate) fn stranger(stat: &Stat) -> Option<LinkProblem> {
    let is_ours = stat.uid == 0 || stat.uid == rustix::process::geteuid().as_raw();
    (!is_ours).then_some(LinkProblem::Stranger { uid: stat.uid })
}
