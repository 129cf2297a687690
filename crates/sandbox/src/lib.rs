//! A clean room of Linux namespaces, used like std::process::Command
