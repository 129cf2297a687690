//! Recipes: tree, grammar, hash, closure and order
