//! Every kind of object: made, found again, left alone, repaired.

use subm_kernel::Kernel;
use subm_plan::{NodePlan, diff};

use crate::ground::{foreign, in_fresh_namespace, listing, observe, plan, reach};

#[test]
fn what_was_applied_is_what_is_observed() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
    });
}

#[test]
fn another_process_finds_the_same() {
    in_fresh_namespace(|| {
        reach(&mut Kernel::open().unwrap(), &plan());
        let mut later = Kernel::open().unwrap();
        assert_eq!(diff(&observe(&mut later, &plan()), &plan()), []);
    });
}

#[test]
fn nothing_is_left_of_an_empty_plan() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        reach(&mut kernel, &NodePlan::default());
        assert_eq!(listing("ip -o link | grep -v lo: ; ip rule | grep 100 ; nft list tables"), "");
    });
}

#[test]
fn a_rule_of_others_that_says_the_same_stands_beside_ours() {
    in_fresh_namespace(|| {
        foreign(
            "ip rule add preference 101 lookup 1001; ip -6 rule add preference 101 lookup 101 protocol 84",
        );
        let before = listing("ip rule; ip -6 rule");
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        reach(&mut kernel, &NodePlan::default());
        assert_eq!(listing("ip rule; ip -6 rule"), before);
    });
}
