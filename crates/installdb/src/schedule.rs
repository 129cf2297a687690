//! Which scripts a transaction calls before its decision, and which after it, in order.

use pkgformat::{PackageMeta, ScriptKind};
use rusqlite::Connection;
use sandbox::Access;

use crate::brought::Findings;
use crate::scripts::call::Call;
use crate::scripts::foreign;
use crate::work::Work;
use crate::{Operation, order, rows};

/// What may refuse: of packages that go, what requires others first; then of packages that come, what is required first.
/// Our own scripts see everything and change nothing; those of other package managers expect that they may.
pub(crate) fn before(conn: &Connection, work: &Work<'_>, found: &Findings) -> rusqlite::Result<Vec<(Call, Access)>> {
    let mut calls = Vec::new();
    for (operation, outgoing) in work.removals().into_iter().rev() {
        let kind = ScriptKind::PreRemove;
        let content = rows::script(conn, outgoing.row, kind)?;
        calls.extend(content.map(|content| (Call::new(operation, kind, content), Access::Ro)));
        calls.extend(foreign_scripts(work, operation).before.into_iter().map(|call| (call, Access::Rw)));
    }
    for package in coming(work) {
        let (kind, operation) = (ScriptKind::PreInstall, work.operation(package));
        let content = found.scripts_of(package, kind);
        calls.extend(content.map(|content| (Call::new(operation, kind, content), Access::Ro)));
        calls.extend(foreign_scripts(work, operation).before.into_iter().map(|call| (call, Access::Rw)));
    }
    Ok(calls)
}

/// What runs after the change, in the same order. Asked while the packages that go are still in the database.
pub(crate) fn after(conn: &Connection, work: &Work<'_>, found: &Findings) -> rusqlite::Result<Vec<Call>> {
    let mut calls = Vec::new();
    for (operation, outgoing) in work.removals().into_iter().rev() {
        let content = rows::script(conn, outgoing.row, ScriptKind::PostRemove)?;
        calls.extend(content.map(|content| Call::new(operation, ScriptKind::PostRemove, content)));
        calls.extend(foreign_scripts(work, operation).after);
    }
    for package in coming(work) {
        let (kind, operation) = (ScriptKind::PostInstall, work.operation(package));
        calls.extend(found.scripts_of(package, kind).map(|content| Call::new(operation, kind, content)));
        calls.extend(foreign_scripts(work, operation).after);
    }
    Ok(calls)
}

/// The positions of the packages that come, what is required first.
fn coming(work: &Work<'_>) -> Vec<usize> {
    let metas: Vec<&PackageMeta> = work.incoming.iter().map(|incoming| incoming.record.meta()).collect();
    order::dependencies_first(&metas)
}

fn foreign_scripts(work: &Work<'_>, operation: &Operation) -> foreign::Scripts {
    if !work.options.foreign_scripts {
        return foreign::Scripts::default();
    }
    let mut metas = work.outgoing.iter().map(|known| known.record.meta());
    let old = metas.find(|meta| meta.name == operation.name);
    let mut metas = work.incoming.iter().map(|known| known.record.meta());
    let new = metas.find(|meta| meta.name == operation.name);
    foreign::scripts(old, new)
}
