//! Claims by themselves.

use super::*;

fn key(n: u128) -> ClaimKey {
    ClaimKey(n)
}

async fn now(claims: &Arc<Claims>, owner: u64, n: u128, mode: Mode) -> Result<Claimed> {
    claims
        .claim(Owner(owner), key(n), mode, Contended::Wait)
        .await
}

#[tokio::test]
async fn modes_agree_as_postgresql_s_row_locks() {
    use Mode::*;
    let agree = [
        (KeyShare, KeyShare),
        (KeyShare, Share),
        (KeyShare, NoKeyUpdate),
        (Share, Share),
    ];
    let all = [KeyShare, Share, NoKeyUpdate, Update];
    let locks = [KeyShare, Share, ForNoKeyUpdate, ForUpdate];
    for (write, lock) in all.into_iter().zip(locks) {
        assert_eq!(write.conflicting(), lock.conflicting(), "{write:?}");
    }
    for first in all {
        for second in all {
            let expected = agree.contains(&(first, second)) || agree.contains(&(second, first));
            assert_eq!(
                !Modes::of(first).conflicts(second),
                expected,
                "{first:?} {second:?}"
            );
        }
    }
    assert!(!Modes::of(Point).conflicts(PointKey));
    assert!(Modes::of(Point).conflicts(NoKeyUpdate));
    assert!(Modes::of(Intent).conflicts(Update));
}

#[tokio::test]
async fn waiters_get_the_key_in_order() {
    let claims = Arc::new(Claims::default());
    assert_eq!(
        now(&claims, 1, 7, Mode::Update).await.unwrap(),
        Claimed::AtOnce
    );
    let second = now(&claims, 2, 7, Mode::Update);
    let third = now(&claims, 3, 7, Mode::Update);
    tokio::pin!(second, third);
    assert!(futures::poll!(&mut second).is_pending());
    assert!(futures::poll!(&mut third).is_pending());
    claims.release(&Held::Of(Owner(1)), None);
    assert_eq!(second.await.unwrap(), Claimed::AfterWaiting);
    assert!(futures::poll!(&mut third).is_pending());
    claims.release(&Held::Of(Owner(2)), None);
    assert_eq!(third.await.unwrap(), Claimed::AfterWaiting);
    claims.release(&Held::Of(Owner(3)), None);
    assert_eq!(claims.count(), (0, 0));
}

#[tokio::test]
async fn a_circle_of_waits_is_refused() {
    let claims = Arc::new(Claims::default());
    now(&claims, 1, 1, Mode::Update).await.unwrap();
    now(&claims, 2, 2, Mode::Update).await.unwrap();
    let first = now(&claims, 1, 2, Mode::Update);
    tokio::pin!(first);
    assert!(futures::poll!(&mut first).is_pending());
    let error = now(&claims, 2, 1, Mode::Update).await.unwrap_err();
    assert_eq!(error.state(), SqlState::DEADLOCK_DETECTED);
    claims.release(&Held::Of(Owner(2)), None);
    assert_eq!(first.await.unwrap(), Claimed::AfterWaiting);
}

#[tokio::test]
async fn a_waiter_that_gives_up_blocks_nobody() {
    let claims = Arc::new(Claims::default());
    now(&claims, 1, 1, Mode::Share).await.unwrap();
    {
        let writer = now(&claims, 2, 1, Mode::Update);
        tokio::pin!(writer);
        assert!(futures::poll!(&mut writer).is_pending());
        let reader = now(&claims, 3, 1, Mode::Share);
        tokio::pin!(reader);
        assert!(futures::poll!(&mut reader).is_pending(), "no overtaking");
    }
    assert_eq!(
        now(&claims, 3, 1, Mode::Share).await.unwrap(),
        Claimed::AtOnce
    );
    assert!(
        claims
            .claim(Owner(2), key(1), Mode::Update, Contended::Fail)
            .await
            .is_err()
    );
    let skipped = claims
        .claim(Owner(2), key(1), Mode::Update, Contended::Skip)
        .await
        .unwrap();
    assert_eq!(skipped, Claimed::Skipped);
}

#[tokio::test]
async fn a_savepoint_lets_go_of_later_claims_only() {
    let claims = Arc::new(Claims::default());
    now(&claims, 1, 1, Mode::KeyShare).await.unwrap();
    let mark = claims.mark(Owner(1));
    now(&claims, 1, 1, Mode::Update).await.unwrap();
    now(&claims, 1, 2, Mode::Update).await.unwrap();
    claims.release_after(Owner(1), mark);
    assert!(!claims.is_contended(Owner(2), key(2), Mode::Update));
    assert!(!claims.is_contended(Owner(2), key(1), Mode::KeyShare));
    assert!(claims.is_contended(Owner(2), key(1), Mode::Update));
}

#[tokio::test]
async fn changes_are_remembered_while_someone_watches() {
    let claims = Arc::new(Claims::default());
    let watch = claims.watch_from(Index(10));
    now(&claims, 1, 1, Mode::Point).await.unwrap();
    now(&claims, 1, 2, Mode::KeyShare).await.unwrap();
    claims.release(&Held::Of(Owner(1)), Some(Index(12)));
    assert!(claims.changed_since(key(1), Mode::NoKeyUpdate, Index(11)));
    assert!(!claims.changed_since(key(1), Mode::NoKeyUpdate, Index(12)));
    assert!(
        !claims.changed_since(key(2), Mode::NoKeyUpdate, Index(11)),
        "a share changes nothing"
    );
    assert_eq!(watch.index(), Index(10));
    drop(watch);
    assert!(!claims.changed_since(key(1), Mode::NoKeyUpdate, Index(11)));
}

#[tokio::test]
async fn point_writes_agree_and_are_only_counted() {
    let claims = Arc::new(Claims::default());
    let keys = vec![(key(1), Mode::Intent), (key(2), Mode::PointKey)];
    assert!(claims.try_claim_point(&keys));
    assert!(claims.try_claim_point(&keys));
    assert_eq!(claims.count(), (2, 0));
    let writer = now(&claims, 1, 2, Mode::Update);
    tokio::pin!(writer);
    assert!(futures::poll!(&mut writer).is_pending());
    assert!(!claims.try_claim_point(&keys), "no overtaking");
    claims.release(&Held::Point(keys.clone()), None);
    assert!(futures::poll!(&mut writer).is_pending());
    claims.release(&Held::Point(keys.clone()), None);
    assert_eq!(writer.await.unwrap(), Claimed::AfterWaiting);
    assert!(!claims.try_claim_point(&keys));
    claims.release(&Held::Of(Owner(1)), None);
    assert_eq!(claims.count(), (0, 0));
}

#[tokio::test]
async fn a_key_share_only_minds_changed_keys() {
    let claims = Arc::new(Claims::default());
    let _watch = claims.watch_from(Index(10));
    for (n, mode) in [
        (1, Mode::NoKeyUpdate),
        (2, Mode::Update),
        (3, Mode::ForUpdate),
    ] {
        now(&claims, 1, n, mode).await.unwrap();
    }
    claims.release(&Held::Of(Owner(1)), Some(Index(12)));
    let cases = [
        (1, Mode::KeyShare, false),
        (1, Mode::Share, true),
        (2, Mode::KeyShare, true),
        (3, Mode::Update, false),
    ];
    for (n, mode, changed) in cases {
        assert_eq!(
            claims.changed_since(key(n), mode, Index(11)),
            changed,
            "{n} {mode:?}"
        );
    }
}
