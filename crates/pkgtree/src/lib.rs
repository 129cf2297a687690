//! Between trees and packages: pack, unpack, ELF facts, the unpacked store
