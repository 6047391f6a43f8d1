//! Files that somebody else touches while they are open.

use super::*;

/// Noise is not played, even if it comes within the life of a node.
#[test]
fn a_copy_whose_file_is_changed_under_it_is_proven_again() {
    let dir = tempfile::tempdir().unwrap();
    for disk in [
        (
            Arc::new(MemDisk::default()) as Arc<dyn Disk>,
            PathBuf::from("/cache"),
        ),
        (Arc::new(RealDisk), dir.path().to_owned()),
    ] {
        let (disk, at) = disk;
        let store = Store::open(at.clone(), CAP, disk.clone());
        let bytes = song(6, 8);
        let blob = fetch(&store, &bytes).unwrap();
        assert_eq!(read_all(&blob), bytes);
        let path = at.join(format!("{}.data", blob.track().to_hex()));
        let noise = vec![0x5a; 2 * GROUP_BYTES as usize];
        let others = disk.edit(&path).unwrap();
        let was = others.stamp().unwrap();
        while others.stamp().unwrap() == was {
            others.write_at(3 * GROUP_BYTES, &noise).unwrap();
        }
        let mut buf = [0; 100];
        for group in 0..3 {
            let n = blob
                .read_at(group * GROUP_BYTES, &mut buf)
                .unwrap()
                .unwrap();
            let at = (group * GROUP_BYTES) as usize;
            assert_eq!(buf[..n], bytes[at..at + n]);
        }
        let noisy = blob.read_at(3 * GROUP_BYTES, &mut buf).unwrap_err();
        assert!(noisy.to_string().contains("damaged"), "{noisy}");
        assert!(store.held().is_empty());
    }
}

#[test]
fn an_arriving_track_whose_file_is_changed_loses_what_is_not_true() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(6, 8);
    let blob = store
        .begin(outboard(&bytes).track, bytes.len() as u64)
        .unwrap();
    blob.write(items(&bytes, &(0..4).into())).unwrap();
    let mut buf = [0; 100];
    assert_eq!(blob.read_at(0, &mut buf).unwrap(), Some(100));
    let files = disk.list(Path::new("/cache")).unwrap();
    let is_data = |file: &&PathBuf| {
        let size = disk.open(file).unwrap().stamp().unwrap().size;
        size >= 4 * GROUP_BYTES
    };
    let path = files.iter().find(is_data).unwrap();
    let others = disk.edit(path).unwrap();
    others.write_at(GROUP_BYTES, b"noise").unwrap();
    assert_eq!(blob.read_at(0, &mut buf).unwrap(), Some(100));
    assert_eq!(blob.read_at(GROUP_BYTES, &mut buf).unwrap(), None);
    assert_eq!(blob.take_lost(), (1..2).into());
    // Whatever comes after it is no proof of what others wrote before.
    others.write_at(2 * GROUP_BYTES, b"noise").unwrap();
    blob.write(items(&bytes, &(4..6).into())).unwrap();
    assert_eq!(blob.read_at(2 * GROUP_BYTES, &mut buf).unwrap(), None);
    blob.write(items(&bytes, &(1..3).into())).unwrap();
    store.finish(&blob).unwrap();
    assert_eq!(read_all(&blob), bytes);
}

/// Else each group would be read twice while it comes, once for its proof.
#[test]
fn what_is_written_of_an_arriving_track_is_no_touch_by_others() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(6, 8);
    let blob = store
        .begin(outboard(&bytes).track, bytes.len() as u64)
        .unwrap();
    blob.write(items(&bytes, &(0..2).into())).unwrap();
    let read_beside = || {
        let before = disk.reads();
        assert_eq!(blob.read_at(0, &mut [0; 100]).unwrap(), Some(100));
        assert_eq!(disk.reads() - before, 1);
    };
    let others = items(&bytes, &(4..6).into());
    let mut others = others.into_iter().inspect(|_| read_beside());
    let write_beside = |n: usize| blob.write(others.by_ref().take(n)).unwrap();
    let mut counts = [1, 2, usize::MAX].into_iter().map(write_beside);
    let these = items(&bytes, &(2..4).into());
    blob.write(these.into_iter().inspect(|_| {
        counts.next();
        read_beside();
    }))
    .unwrap();
    read_beside();
}

/// Another mode or owner is no other music, and is not refused.
#[test]
fn a_library_file_that_was_only_touched_is_proven_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.flac");
    let bytes = song(6, 4);
    std::fs::write(&path, &bytes).unwrap();
    let ob = outboard(&bytes);
    let store = Store::open(dir.path().join("cache"), CAP, Arc::new(RealDisk));
    let modified = RealDisk.open(&path).unwrap().stamp().unwrap().modified;
    store.add_file(ob.track, ob.size, path.clone(), modified);
    let blob = store.blob(ob.track).unwrap();
    let touch = || {
        let stamp = || RealDisk.open(&path).unwrap().stamp().unwrap();
        let was = stamp();
        for mode in (0..8).cycle() {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600 | mode);
            std::fs::set_permissions(&path, mode).unwrap();
            if stamp() != was {
                break;
            }
        }
    };
    touch();
    assert!(blob.slice(&(0..2).into(), &mut Vec::new()).is_ok());
    assert_eq!(read_all(&blob), bytes);
    assert!(store.doubts().is_empty());

    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"other", 4 * GROUP_BYTES).unwrap();
    file.set_modified(modified).unwrap();
    touch();
    assert!(blob.read_at(0, &mut [0]).is_ok());
    let other = blob.read_at(4 * GROUP_BYTES, &mut [0]).unwrap_err();
    assert!(other.to_string().contains("changed"), "{other}");
    assert_eq!(store.doubts().try_recv(), Ok(path));
}
