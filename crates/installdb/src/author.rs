use pkgtypes::Timestamp;

/// Who changes something, when and how, for the history.
#[derive(Debug, Clone)]
pub struct Author {
    /// When the change is made.
    pub time: Timestamp,
    /// The command that asks for it.
    pub argv: Vec<Vec<u8>>,
    /// Who asks for it.
    pub user: Option<User>,
}

impl Author {
    /// Somebody of whom nothing but the time is known.
    pub fn new(time: Timestamp) -> Self {
        Self { time, argv: Vec::new(), user: None }
    }
}

/// Somebody who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number by which the machine knows him.
    pub uid: u32,
    /// His name, where the machine has one for him.
    pub name: Option<String>,
}
