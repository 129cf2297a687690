//! Keys, tiers, statements, signatures, decisions
