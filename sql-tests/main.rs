//! Tests from outside: a whole node, asked as clients ask it.

mod rest;

use pyql::catalog::UserKind;
use pyql::node::{Node, NodeConfig};
use pyql::runtime::Runtime;

const ADMIN: (&str, &str) = ("admin", "abcd1234");

/// A fresh node with an admin answers as the REST contract says.
#[test]
fn rest_contract() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let runtime = Runtime::real();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let wrong = threads.block_on(async {
        let any_port = ([127, 0, 0, 1], 0).into();
        let config = NodeConfig {
            data: directory.path().to_owned(),
            pg: any_port,
            http: any_port,
            replicas: 3,
            tls: None,
        };
        let node = Node::start(&config, &runtime).await.expect("a node starts");
        node.dispatch
            .create_user(
                ADMIN.0,
                Some("admin@company.com"),
                UserKind::Admin,
                Some(ADMIN.1),
            )
            .await
            .expect("an admin is made");
        let wrong = rest::run(&format!("http://{}", node.http), ADMIN).await;
        node.stop().await;
        wrong
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
