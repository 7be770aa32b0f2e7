//! CREATE, ALTER and DROP of roles and users.
//!
//! Only administrators (superusers) change roles; anyone may change their own password. There is
//! always one administrator left.

use luma_catalog::{Object, Role, password};
use luma_model::{Error, ErrorKind, Result};

use crate::ddl::{done, edit, lock_catalog, put};
use crate::outcome::{Outcome, Severity};
use crate::session::Session;
use crate::statement::role::{Attributes, RoleStatement};

/// Runs a statement about roles.
pub(crate) async fn statement(session: &mut Session, statement: &RoleStatement) -> Result<Outcome> {
    lock_catalog(session).await?;
    let tag = match statement {
        RoleStatement::Create { name, attributes } => {
            create(session, name, attributes)?;
            "CREATE ROLE"
        }
        RoleStatement::Alter { name, attributes } => {
            alter(session, name, attributes)?;
            "ALTER ROLE"
        }
        RoleStatement::Rename { name, to } => {
            rename(session, name, to)?;
            "ALTER ROLE"
        }
        RoleStatement::Drop { names, if_exists } => {
            for name in names {
                drop(session, name, *if_exists)?;
            }
            "DROP ROLE"
        }
    };
    Ok(done(tag))
}

fn create(session: &mut Session, name: &str, attributes: &Attributes) -> Result<()> {
    require_administrator(session, "create role")?;
    refuse_taken(session, name)?;
    let password = match &attributes.password {
        Some(text) => password::verifier(text)?,
        None => None,
    };
    tell_ignored(session, attributes);
    let role = Role {
        oid: session.shared.catalog.allocate_oid(),
        name: name.to_owned(),
        superuser: attributes.superuser.unwrap_or(false),
        can_login: attributes.login.unwrap_or(false),
        password,
    };
    put(session, Object::Role(role))
}

fn alter(session: &mut Session, name: &str, attributes: &Attributes) -> Result<()> {
    let mut role = find(session, name)?;
    let only_password = attributes.superuser.is_none() && attributes.login.is_none();
    if role.name != session.user || !only_password {
        require_administrator(session, "alter role")?;
    }
    if let Some(text) = &attributes.password {
        role.password = password::verifier(text)?;
    }
    let was_administrator = is_administrator(&role);
    role.superuser = attributes.superuser.unwrap_or(role.superuser);
    role.can_login = attributes.login.unwrap_or(role.can_login);
    if was_administrator && !is_administrator(&role) {
        keep_one_administrator(session, &role)?;
    }
    tell_ignored(session, attributes);
    put(session, Object::Role(role))
}

fn rename(session: &mut Session, name: &str, to: &str) -> Result<()> {
    require_administrator(session, "rename role")?;
    let mut role = find(session, name)?;
    if role.name == session.user {
        return Err(Error::new(ErrorKind::FeatureNotSupported, "session user cannot be renamed"));
    }
    refuse_taken(session, to)?;
    to.clone_into(&mut role.name);
    // An md5 verifier contains the name.
    if role.password.as_ref().is_some_and(|password| password.md5.is_some()) {
        role.password = None;
        session.notice(
            Severity::Notice,
            Error::new(ErrorKind::FeatureNotSupported, "MD5 password cleared because of role rename"),
        );
    }
    put(session, Object::Role(role))
}

fn drop(session: &mut Session, name: &str, if_exists: bool) -> Result<()> {
    require_administrator(session, "drop role")?;
    let role = match find(session, name) {
        Err(error) if if_exists => {
            session.notice(
                Severity::Notice,
                Error::new(ErrorKind::UndefinedObject, format!("{}, skipping", error.message)),
            );
            return Ok(());
        }
        found => found?,
    };
    if role.name == session.user {
        return Err(Error::new(ErrorKind::ObjectInUse, "current user cannot be dropped"));
    }
    if is_administrator(&role) {
        keep_one_administrator(session, &role)?;
    }
    edit(session, |edit, _| edit.remove(role.oid))
}

fn find(session: &mut Session, name: &str) -> Result<Role> {
    let name = match name {
        "current_user" | "session_user" | "current_role" => session.user.clone(),
        name => name.to_owned(),
    };
    session
        .catalog()
        .role(&name)
        .map(|role| Role::clone(role))
        .ok_or_else(|| Error::new(ErrorKind::UndefinedObject, format!("role \"{name}\" does not exist")))
}

fn refuse_taken(session: &mut Session, name: &str) -> Result<()> {
    if name.starts_with("pg_") || matches!(name, "public" | "none") {
        return Err(Error::new(ErrorKind::ReservedName, format!("role name \"{name}\" is reserved")));
    }
    if session.catalog().role(name).is_some() {
        return Err(Error::new(ErrorKind::DuplicateObject, format!("role \"{name}\" already exists")));
    }
    Ok(())
}

fn is_administrator(role: &Role) -> bool {
    role.superuser && role.can_login
}

fn require_administrator(session: &mut Session, action: &str) -> Result<()> {
    let user = session.user.clone();
    if session.catalog().role(&user).is_some_and(|role| role.superuser) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InsufficientPrivilege, format!("permission denied to {action}"))
        .hint("Only an administrator (superuser) changes roles."))
}

fn keep_one_administrator(session: &mut Session, leaving: &Role) -> Result<()> {
    let catalog = session.catalog();
    if catalog.roles().any(|role| role.oid != leaving.oid && is_administrator(role)) {
        return Ok(());
    }
    let message = format!("role \"{}\" is the last administrator", leaving.name);
    Err(Error::new(ErrorKind::DependentObjects, message).hint("Give another role LOGIN and SUPERUSER first."))
}

fn tell_ignored(session: &mut Session, attributes: &Attributes) {
    for attribute in &attributes.ignored {
        let message = format!("{attribute} has no effect");
        session.notice(Severity::Warning, Error::new(ErrorKind::FeatureNotSupported, message));
    }
}
