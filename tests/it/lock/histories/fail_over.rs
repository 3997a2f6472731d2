//! Fail-overs under load: a new master may have forgotten who holds a key, and the fenced resource
//! still takes nobody's word after that of a later one.

use super::clock::now_us;
use super::judge::Whom;
use super::take_over::TakeOver;
use crate::support::eventually::eventually;
use crate::support::redis_sentinel::Watched;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_fail_overs_no_write_of_the_past_is_accepted() {
    let all = Watched::start().await;
    let history = TakeOver::start(&all.url());
    let resource = history.resource.clone();
    for kill in [false, true] {
        let before = resource.count();
        eventually("it is used", async || resource.count() > before + 200).await;
        let (old, from) = (all.master(), now_us());
        if kill {
            all.server(old).signal("KILL");
        } else {
            all.sentinels[0].command(&["SENTINEL", "FAILOVER", "main"]);
        }
        eventually("there is another master", async || all.master() != old).await;
        let before = resource.count();
        eventually("it is used again", async || resource.count() > before + 200).await;
        resource.disturbed(Whom::Data, from);
        resource.disturbed(Whom::Everybody, from);
        // Who was killed does not come back: so it comes last.
        if !kill {
            all.settles().await;
        }
    }
    history.ends(800).await;
}
