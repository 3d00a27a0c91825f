//! Lines for the image's /etc/passwd and /etc/group, so that programs find a name for a user whom the image does not know:
//! one asked for by number, the caller kept by `keep-id`, users of this machine (`--hostuser`). Pure text.

use super::users::{group_entry, number, passwd_entry};

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostUser {
    /// Login name.
    pub name: String,
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// The comment field.
    pub comment: String,
}

/// Who is to be known in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// `user[:group]` of the command.
    pub user: String,
    /// Home folder of all new users.
    pub home: String,
    /// The caller, with `keep-id`.
    pub kept: Option<HostUser>,
    /// `--hostuser`.
    pub host_users: Vec<HostUser>,
    /// Instead of the usual line of /etc/passwd; not for `host_users`.
    pub passwd_entry: Option<String>,
    /// Instead of the usual line of /etc/group.
    pub group_entry: Option<String>,
}

impl Accounts {
    /// True when the image's files need not be looked at.
    pub fn is_empty(&self) -> bool {
        let user = self.user.split(':').next().unwrap_or_default();
        let plain = number(user).is_none_or(|uid| uid == 0);
        plain && self.kept.is_none() && self.host_users.is_empty()
    }

    /// What to append to these two files.
    pub fn missing(&self, passwd: &str, group: &str) -> (String, String) {
        let (mut users, mut groups) = (String::new(), String::new());
        let knows = |users: &str, uid: u32, name: &str| {
            let mut all = passwd.lines().chain(users.lines()).filter_map(passwd_entry);
            all.any(|e| e.uid == uid || e.name == name)
        };
        for user in &self.host_users {
            if !knows(&users, user.uid, &user.name) {
                let HostUser { name, uid, gid, comment } = user;
                users.push_str(&format!("{name}:*:{uid}:{gid}:{comment}:{}:/bin/sh\n", self.home));
            }
        }
        let asked = self.asked(group);
        for (user, group_name) in
            self.kept.iter().map(|u| (u, u.name.clone())).chain(asked.as_ref().map(|u| (u, u.gid.to_string())))
        {
            if !knows(&users, user.uid, &user.name) {
                users.push_str(&self.passwd_line(user));
            }
            let mut known = group.lines().chain(groups.lines()).filter_map(group_entry);
            if !known.any(|g| g.1 == user.gid || g.0 == group_name) {
                groups.push_str(&self.group_line(&group_name, user));
            }
        }
        (users, groups)
    }

    /// The command's user when it is given by number.
    fn asked(&self, group: &str) -> Option<HostUser> {
        let (user, group_word) = self.user.split_once(':').unwrap_or((&self.user, ""));
        let uid = number(user).filter(|uid| *uid != 0)?;
        let named = || group.lines().filter_map(group_entry).find(|g| g.0 == group_word).map(|g| g.1);
        let gid = if group_word.is_empty() { 0 } else { named().or_else(|| number(group_word))? };
        Some(HostUser { name: uid.to_string(), uid, gid, comment: "container user".to_owned() })
    }

    fn passwd_line(&self, user: &HostUser) -> String {
        let HostUser { name, uid, gid, comment } = user;
        let Some(template) = &self.passwd_entry else {
            return format!("{name}:*:{uid}:{gid}:{comment}:{}:/bin/sh\n", self.home);
        };
        let (uid, gid) = (uid.to_string(), gid.to_string());
        let values: [(&str, &str); 5] =
            [("$USERNAME", name), ("$UID", &uid), ("$GID", &gid), ("$NAME", comment), ("$HOME", &self.home)];
        format!("{}\n", replace(template, &values))
    }

    fn group_line(&self, name: &str, user: &HostUser) -> String {
        let Some(template) = &self.group_entry else {
            return format!("{name}:x:{}:{}\n", user.gid, user.name);
        };
        let values = [("$GROUPNAME", name), ("$GID", &user.gid.to_string()), ("$USERLIST", &user.name)];
        format!("{}\n", replace(template, &values))
    }
}

fn replace(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// The account with this name or number in the text of this machine's /etc/passwd.
pub fn find(passwd: &str, word: &str) -> Option<HostUser> {
    let by_number = number(word);
    passwd.lines().find_map(|line| {
        let entry = passwd_entry(line).filter(|e| e.name == word || by_number == Some(e.uid))?;
        let comment = line.split(':').nth(4).unwrap_or_default().to_owned();
        Some(HostUser { name: entry.name.to_owned(), uid: entry.uid, gid: entry.gid, comment })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
    const GROUP: &str = "root:x:0:\napp:x:1000:\n";

    fn asked(user: &str) -> Accounts {
        Accounts { user: user.into(), home: "/".into(), ..Accounts::default() }
    }

    #[test]
    fn a_user_by_number_gets_a_line() {
        for (user, users, groups) in [
            ("1234", "1234:*:1234:0:container user:/:/bin/sh\n", ""),
            ("1234:55", "1234:*:1234:55:container user:/:/bin/sh\n", "55:x:55:1234\n"),
            ("1234:app", "1234:*:1234:1000:container user:/:/bin/sh\n", ""),
            ("1000", "", ""),
            ("app", "", ""),
            ("", "", ""),
            ("0:55", "", ""),
        ] {
            assert_eq!(asked(user).missing(PASSWD, GROUP), (users.to_owned(), groups.to_owned()), "{user}");
        }
        assert!(asked("app").is_empty() && asked("").is_empty() && asked("0").is_empty() && !asked("7").is_empty());
        let (users, groups) = asked("1234:55").missing(PASSWD, GROUP);
        let again = asked("1234:55").missing(&format!("{PASSWD}{users}"), &format!("{GROUP}{groups}"));
        assert_eq!(again, (String::new(), String::new()), "a second start adds nothing");
    }

    #[test]
    fn kept_and_host_users_and_templates() {
        let alice = find("alice:x:1001:1002:A. Lice,,,:/users/alice:/bin/bash\n", "1001").unwrap();
        let bob = HostUser { name: "bob".into(), uid: 7, gid: 7, comment: String::new() };
        let mut accounts = Accounts { kept: Some(alice), host_users: vec![bob], ..asked("0") };
        assert_eq!(
            accounts.missing(PASSWD, GROUP),
            (
                "bob:*:7:7::/:/bin/sh\nalice:*:1001:1002:A. Lice,,,:/:/bin/sh\n".to_owned(),
                "alice:x:1002:alice\n".to_owned()
            )
        );
        accounts.passwd_entry = Some("x$USERNAME:$UID:$GID:$NAME:$HOME".into());
        accounts.group_entry = Some("g$GROUPNAME:$GID:$USERLIST".into());
        let (users, groups) = accounts.missing(PASSWD, GROUP);
        assert!(users.ends_with("\nxalice:1001:1002:A. Lice,,,:/\n"), "{users}");
        assert_eq!(groups, "galice:1002:alice\n");
    }
}
