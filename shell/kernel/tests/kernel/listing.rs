//! What nft itself says of our tables.

use subm_kernel::Kernel;
use subm_plan::NodePlan;
use subm_plan::nft::{Set, SetName};

use crate::ground::{in_fresh_namespace, listing, name, plan, reach};
use crate::tables::table;

/// The words, without layout and without what nft's versions differ in.
fn normal(listing: &str) -> Vec<String> {
    let text = listing.replace("tcp flags syn / syn,rst", "tcp flags & (syn | rst) == syn");
    let text = text.replace("/32", "").replace("/128", "").replace(';', " ");
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn nft_lists_our_table_as_we_print_it() {
    in_fresh_namespace(|| {
        let mut table = table();
        // nft lists more than one in an order of its own.
        table.sets.insert(SetName("cables".to_owned()), Set::interfaces([name("subm0")]));
        let plan = NodePlan { table: Some(table.clone()), ..plan() };
        reach(&mut Kernel::open().unwrap(), &plan);
        let listed = listing("nft -s -y list table inet submariner-test");
        assert_eq!(normal(&listed), normal(&table.to_string()), "{listed}");
    });
}
