//! System tables of things that do not exist here, with the columns that clients ask for.
//!
//! A column is a name and a letter for its type: `o` oid, `n` name, `t` text, `b` boolean, `s`
//! smallint, `i` integer, `f` real, `c` "char", `p` regproc, `v` int2vector, `w` oidvector,
//! `g` pg_node_tree; in capitals an array of it.

use luma_model::{DataType, ObjectKind};

use crate::pg_catalog::Rows;

static TABLES: [(&str, &str); 42] = [
    ("pg_aggregate", "aggfnoid p, aggkind c, aggnumdirectargs s, aggtransfn p, aggfinalfn p"),
    (
        "pg_amop",
        "oid o, amopfamily o, amoplefttype o, amoprighttype o, amopstrategy s, amoppurpose c, amopopr o, amopmethod o, amopsortfamily o",
    ),
    ("pg_amproc", "oid o, amprocfamily o, amproclefttype o, amprocrighttype o, amprocnum s, amproc p"),
    ("pg_auth_members", "roleid o, member o, grantor o, admin_option b"),
    ("pg_cast", "oid o, castsource o, casttarget o, castfunc o, castcontext c, castmethod c"),
    (
        "pg_conversion",
        "oid o, conname n, connamespace o, conowner o, conforencoding i, contoencoding i, conproc p, condefault b",
    ),
    ("pg_db_role_setting", "setdatabase o, setrole o, setconfig T"),
    ("pg_default_acl", "oid o, defaclrole o, defaclnamespace o, defaclobjtype c, defaclacl T"),
    ("pg_event_trigger", "oid o, evtname n, evtevent n, evtowner o, evtfoid o, evtenabled c, evttags T"),
    (
        "pg_extension",
        "oid o, extname n, extowner o, extnamespace o, extrelocatable b, extversion t, extconfig O, extcondition T",
    ),
    ("pg_inherits", "inhrelid o, inhparent o, inhseqno i, inhdetachpending b"),
    ("pg_init_privs", "objoid o, classoid o, objsubid i, privtype c, initprivs T"),
    ("pg_largeobject_metadata", "oid o, lomowner o, lomacl T"),
    (
        "pg_opclass",
        "oid o, opcmethod o, opcname n, opcnamespace o, opcowner o, opcfamily o, opcintype o, opcdefault b, opckeytype o",
    ),
    (
        "pg_operator",
        "oid o, oprname n, oprnamespace o, oprowner o, oprkind c, oprcanmerge b, oprcanhash b, oprleft o, oprright o, oprresult o, oprcom o, oprnegate o, oprcode p, oprrest p, oprjoin p",
    ),
    ("pg_opfamily", "oid o, opfmethod o, opfname n, opfnamespace o, opfowner o"),
    (
        "pg_partitioned_table",
        "partrelid o, partstrat c, partnatts s, partdefid o, partattrs v, partclass w, partcollation w, partexprs g",
    ),
    (
        "pg_policies",
        "schemaname n, tablename n, policyname n, permissive t, roles T, cmd t, qual t, with_check t",
    ),
    (
        "pg_policy",
        "oid o, polname n, polrelid o, polcmd c, polpermissive b, polroles O, polqual g, polwithcheck g",
    ),
    (
        "pg_publication",
        "oid o, pubname n, pubowner o, puballtables b, pubinsert b, pubupdate b, pubdelete b, pubtruncate b, pubviaroot b",
    ),
    ("pg_publication_namespace", "oid o, pnpubid o, pnnspid o"),
    ("pg_publication_rel", "oid o, prpubid o, prrelid o, prattrs v, prqual g"),
    ("pg_publication_tables", "pubname n, schemaname n, tablename n, attnames N, rowfilter t"),
    (
        "pg_range",
        "rngtypid o, rngsubtype o, rngmultitypid o, rngcollation o, rngsubopc o, rngcanonical p, rngsubdiff p",
    ),
    (
        "pg_replication_slots",
        "slot_name n, plugin n, slot_type t, datoid o, database n, temporary b, active b, active_pid i",
    ),
    ("pg_rewrite", "oid o, rulename n, ev_class o, ev_type c, ev_enabled c, is_instead b"),
    ("pg_rules", "schemaname n, tablename n, rulename n, definition t"),
    ("pg_seclabel", "objoid o, classoid o, objsubid i, provider t, label t"),
    (
        "pg_seclabels",
        "objoid o, classoid o, objsubid i, objtype t, objnamespace o, objname t, provider t, label t",
    ),
    ("pg_shdescription", "objoid o, classoid o, description t"),
    ("pg_shseclabel", "objoid o, classoid o, provider t, label t"),
    (
        "pg_statistic_ext",
        "oid o, stxrelid o, stxname n, stxnamespace o, stxowner o, stxstattarget i, stxkeys v, stxkind C, stxexprs g",
    ),
    (
        "pg_subscription",
        "oid o, subdbid o, subname n, subowner o, subenabled b, subbinary b, substream b, subtwophasestate c, subdisableonerr b, subconninfo t, subslotname n, subsynccommit t, subpublications T",
    ),
    ("pg_transform", "oid o, trftype o, trflang o, trffromsql p, trftosql p"),
    (
        "pg_trigger",
        "oid o, tgrelid o, tgparentid o, tgname n, tgfoid o, tgtype s, tgenabled c, tgisinternal b, tgconstrrelid o, tgconstrindid o, tgconstraint o, tgdeferrable b, tginitdeferred b, tgnargs s, tgattr v, tgqual g, tgoldtable n, tgnewtable n",
    ),
    ("pg_ts_config", "oid o, cfgname n, cfgnamespace o, cfgowner o, cfgparser o"),
    ("pg_ts_config_map", "mapcfg o, maptokentype i, mapseqno i, mapdict o"),
    ("pg_ts_dict", "oid o, dictname n, dictnamespace o, dictowner o, dicttemplate o, dictinitoption t"),
    (
        "pg_ts_parser",
        "oid o, prsname n, prsnamespace o, prsstart p, prstoken p, prsend p, prsheadline p, prslextype p",
    ),
    ("pg_ts_template", "oid o, tmplname n, tmplnamespace o, tmplinit p, tmpllexize p"),
    ("pg_user_mapping", "oid o, umuser o, umserver o, umoptions T"),
    ("pg_user_mappings", "umid o, srvid o, srvname n, umuser o, usename n, umoptions T"),
];

/// The table of that name, if it is one of these.
pub(super) fn table(name: &str) -> Option<Rows> {
    let (_, columns) = TABLES.iter().find(|(known, _)| *known == name)?;
    Some(Rows::new(columns.split(", ").filter_map(column).collect()))
}

fn column(spec: &'static str) -> Option<(&'static str, DataType)> {
    let (name, letter) = spec.split_once(' ')?;
    let data_type = match letter.to_ascii_lowercase().as_str() {
        "o" => DataType::Oid,
        "n" => DataType::Name,
        "t" => DataType::Text,
        "b" => DataType::Bool,
        "s" => DataType::Int2,
        "i" => DataType::Int4,
        "f" => DataType::Float4,
        "c" => DataType::InternalChar,
        "p" => DataType::Reg(ObjectKind::Procedure),
        "v" => DataType::Int2Vector,
        "w" => DataType::OidVector,
        "g" => DataType::NodeTree,
        _ => return None,
    };
    let many = letter.chars().all(char::is_uppercase);
    Some((name, if many { DataType::Array(Box::new(data_type)) } else { data_type }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_name_and_a_known_type() {
        for (table, columns) in &TABLES {
            for spec in columns.split(", ") {
                assert!(column(spec).is_some(), "{table}: {spec}");
            }
        }
    }
}
