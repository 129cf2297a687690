//! The build engine: sources, room, run, collect, pack, cache
