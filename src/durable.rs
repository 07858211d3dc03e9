//! Files that outlive a crash: whatever happens, there is one whole file or the other.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The end of a file's name while it is being written.
pub const TEMPORARY: &str = ".tmp";
/// The end of a damaged file's name.
const DAMAGED: &str = ".damaged";
/// Files are readable and writable by the gateway's own user alone.
pub const FILE_MODE: u32 = 0o600;
/// The same for the folder, if it has to be made.
const FOLDER_MODE: u32 = 0o700;

/// The size of the largest file that [`read_small`] reads.
const MAX_SMALL: u64 = 1 << 20;

/// Replaces a file, or makes it, and its folder. It is written beside the old one, forced to the disk and renamed over
/// it.
///
/// # Errors
/// What the system says; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    let temporary = write_beside(path, bytes)?;
    put_in_place(&temporary, path)
}

/// Makes a folder, and those above it, where there is none.
///
/// # Errors
/// What the system says.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Writes a file beside the one that it is to replace, and forces it to the disk. Returns its path.
///
/// # Errors
/// What the system says; nothing is left of it then.
pub fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let temporary = with_suffix(path, TEMPORARY);
    let written = write_new(&temporary, bytes);
    if written.is_err() {
        // Half a file is of no use, and the disk may be full.
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| temporary)
}

/// Renames a file that was written beside another over it.
///
/// # Errors
/// What the system says; the old file is still there then, if it could not be renamed.
pub fn put_in_place(temporary: &Path, path: &Path) -> io::Result<()> {
    let renamed = fs::rename(temporary, path);
    if renamed.is_err() {
        let _ = fs::remove_file(temporary);
    }
    renamed?;
    // The new name, too, must survive a power cut.
    sync_folder(path)
}

/// Opens a file to write at its end, and makes it, and its folder, where there is none.
///
/// # Errors
/// What the system says.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)?;
    sync_folder(path)?;
    Ok(file)
}

/// Forces the names in a file's folder to the disk.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Gives a file a second name, in place of the file that had it; where the file system cannot, copies it. There is
/// no moment at which the file does not have its own.
///
/// # Errors
/// What the system says, `NotFound` when there is no such file.
pub fn keep_as(path: &Path, second: &Path) -> io::Result<()> {
    let temporary = with_suffix(second, TEMPORARY);
    remove(&temporary)?;
    match fs::hard_link(path, &temporary) {
        Err(error) if !is_absence(&error) => {
            fs::copy(path, &temporary)?;
            File::open(&temporary)?.sync_all()?;
        }
        linked => linked?,
    }
    fs::rename(&temporary, second)?;
    // Renaming does nothing where both names are of the same file already.
    remove(&temporary)
}

/// Renames a damaged file, so that it is read no more and people can look at it. Returns its new path, which ends in
/// `.damaged`; an earlier one of that name is replaced.
///
/// # Errors
/// What the system says; the file is where it was then.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = with_suffix(path, DAMAGED);
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Keeps a damaged file, before it is replaced, under a name of its own that ends in `.damaged.` and a number; none that was
/// kept earlier is replaced. Returns that name; `None`: there is no such file.
///
/// # Errors
/// What the system says; the file is where it was then.
pub fn keep_damaged(path: &Path) -> io::Result<Option<PathBuf>> {
    let numbered = |number: u32| with_suffix(path, &format!("{DAMAGED}.{number}"));
    let Some(aside) = (1..).map(numbered).find(|aside| !aside.exists()) else {
        return Ok(None);
    };
    match keep_as(path, &aside) {
        Err(error) if is_absence(&error) => return Ok(None),
        // A folder, or a file of another owner, has no second name and cannot be copied.
        Err(_) => fs::rename(path, &aside)?,
        Ok(()) => {}
    }
    Ok(Some(aside))
}

/// Reads a file that people name and that has no more than a mebibyte, as keys and certificates are.
///
/// # Errors
/// What the system says; it is a pipe or a device; it is larger, and was named by mistake.
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(MAX_SMALL + 1);
    match file.read_to_end(&mut bytes)? as u64 > MAX_SMALL {
        true => Err(io::Error::other(format!(
            "it has more than {MAX_SMALL} bytes"
        ))),
        false => Ok(bytes),
    }
}

/// Whether an error means that there is no such file.
pub fn is_absence(error: &io::Error) -> bool {
    // The latter: its folder is no folder, so that nothing can be in it.
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A path whose last name ends in `suffix` besides.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that a killed process left behind may have other permissions.
    remove(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absence(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{keep_as, replace, set_aside, with_suffix};

    /// What a folder has, by name.
    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/kills.json");
        for text in ["one", "two"] {
            replace(&file, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let parent = file.parent().unwrap();
        assert_eq!((mode(&file), mode(parent)), (0o600, 0o700));
        assert_eq!(names(parent), ["kills.json"]);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replace(&file, b"one").unwrap();
        // A folder is in the way, and may not be deleted.
        fs::create_dir_all(with_suffix(&file, ".tmp").join("x")).unwrap();
        assert!(replace(&file, b"two").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        assert!(replace(&file.join("below"), b"").is_err());
    }

    #[test]
    fn a_damaged_file_is_set_aside_in_place_of_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kills.json");
        assert!(set_aside(&file).is_err());
        for text in ["one", "two"] {
            replace(&file, text.as_bytes()).unwrap();
            let aside = set_aside(&file).unwrap();
            assert_eq!(fs::read_to_string(aside).unwrap(), text);
            assert_eq!(names(folder.path()), ["kills.json.damaged"]);
        }
    }

    #[test]
    fn what_is_kept_under_a_second_name_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (file, second) = (folder.path().join("file"), folder.path().join("older"));
        let missing = keep_as(&file, &second).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        for text in ["one", "two", "three"] {
            replace(&file, text.as_bytes()).unwrap();
            keep_as(&file, &second).unwrap();
            // A second time changes nothing, and leaves nothing behind.
            keep_as(&file, &second).unwrap();
        }
        replace(&file, b"four").unwrap();
        assert_eq!(fs::read_to_string(&second).unwrap(), "three");
        assert_eq!(names(folder.path()), ["file", "older"]);
    }
}
