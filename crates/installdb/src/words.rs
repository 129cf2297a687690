//! Arguments and the like in one column.

/// The arguments with a NUL after each.
pub(crate) fn joined(argv: &[Vec<u8>]) -> Vec<u8> {
    let mut joined = Vec::new();
    for argument in argv {
        joined.extend_from_slice(argument);
        joined.push(0);
    }
    joined
}

/// The arguments, a NUL after each.
pub(crate) fn split(argv: &[u8]) -> Vec<Vec<u8>> {
    let mut arguments: Vec<Vec<u8>> = argv.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    arguments.pop();
    arguments
}
