use super::*;

fn config(directory: &std::path::Path) -> LogConfig {
    LogConfig {
        directory: directory.to_owned(),
        node: NodeId(1),
        name: "one".to_owned(),
        address: "127.0.0.1:1".to_owned(),
        single_voter_init: true,
        group: None,
        transport: no_transport(),
    }
}

#[test]
fn a_single_voter_takes_commands_and_finds_them_again() {
    let directory = tempfile::tempdir().expect("temporary directories can be made");
    let path = directory.path().to_owned();
    let runtime = Runtime::real();
    let seam = runtime.clone();
    runtime
        .block_on(async move {
            let begun = seam.now();
            let log = Log::open(config(&path), seam.clone()).await.expect("opens");
            assert!(seam.now() - begun < Duration::from_secs(5));
            assert!(log.is_leader());
            let boot = log.boot();
            let node = log.node();
            let done = log
                .propose(Command::Opened { node, boot })
                .await
                .expect("it leads");
            assert_eq!(done.answer, Answer::default());
            assert_eq!(*log.applied().borrow(), done.index);
            assert_eq!(log.state().opening.map(|it| it.boot), Some(boot));
            log.shutdown().await;
            drop(log);
            let begun = seam.now();
            let log = Log::open(config(&path), seam.clone())
                .await
                .expect("opens again");
            assert_eq!(log.state().opening.map(|it| it.boot), Some(boot));
            assert_eq!(log.state().catalog.nodes[&NodeId(1)].boot, Some(boot));
            assert_ne!(log.boot(), boot);
            let entries = log.entries(Index(0), usize::MAX).await.expect("all there");
            assert_eq!(entries.last().map(|it| it.index), Some(log.state().applied));
            log.shutdown().await;
        })
        .expect("runtimes start");
}
