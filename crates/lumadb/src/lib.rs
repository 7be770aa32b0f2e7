//! LumaDB: a multi-model database in one binary.
