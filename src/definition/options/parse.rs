//! What setters and renderers of all areas need.

/// What a setter returns: the reason of a refusal is text.
pub(super) type Done = Result<(), String>;

pub(super) fn switch(field: &mut bool, value: &str) -> Done {
    *field = match value {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => return Err("not true or false".to_owned()),
    };
    Ok(())
}

/// A switch that is off by default.
pub(super) fn shown(on: bool) -> Vec<String> {
    if on {
        vec!["true".to_owned()]
    } else {
        Vec::new()
    }
}

/// A switch that containers.conf(5) decides where nobody else does.
pub(super) fn maybe(field: &mut Option<bool>, value: &str) -> Done {
    let mut on = false;
    switch(&mut on, value)?;
    *field = Some(on);
    Ok(())
}

/// A switch of three states.
pub(super) fn shown_maybe(on: Option<bool>) -> Vec<String> {
    shown_one(on.as_ref())
}

/// The values between commas.
pub(super) fn words(value: &str) -> Result<Vec<String>, String> {
    let words: Vec<String> = value
        .split(',')
        .map(|word| word.trim().to_owned())
        .collect();
    match words.iter().any(String::is_empty) {
        true => Err("an empty value".to_owned()),
        false => Ok(words),
    }
}

/// An option with at most one value.
pub(super) fn shown_one(value: Option<&(impl ToString + ?Sized)>) -> Vec<String> {
    value.map(ToString::to_string).into_iter().collect()
}

/// Values that end up in files of lines, in C strings or in tables: no control characters.
pub(super) fn clean(value: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) {
        return Err("control characters are not allowed".to_owned());
    }
    Ok(value.to_owned())
}

pub(super) fn no_nul(value: &str) -> Result<String, String> {
    if value.contains('\0') {
        Err("NUL is not allowed".to_owned())
    } else {
        Ok(value.to_owned())
    }
}

pub(super) fn absolute(value: &str) -> Result<String, String> {
    if value.starts_with('/') {
        clean(value)
    } else {
        Err("not an absolute path".to_owned())
    }
}

pub(super) fn key_value(value: &str) -> Result<(String, String), String> {
    let (key, value) = value.split_once('=').unwrap_or((value, ""));
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok((no_nul(key)?, no_nul(value)?))
}

pub(super) fn number<T: std::str::FromStr>(value: &str, what: &str) -> Result<T, String> {
    value.parse().map_err(|_| what.to_owned())
}
