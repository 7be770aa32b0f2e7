//! lux.
use luminosity::*;
fn main(){
    let a: Vec<String> = std::env::args().collect();
    let e = Engine::open(&a[2], Settings::new("https://example.com")).unwrap();
    let t = std::time::Instant::now();
    if a[1]=="import" {
        let f = std::io::BufReader::new(std::fs::File::open(&a[3]).unwrap());
        let s = e.import(&mut maybe_gzip(f).unwrap(), Format::of_name(&a[3]).unwrap(), &mut |r| eprintln!("{r:?}"), &mut |_| {}).unwrap();
        eprintln!("{s:?}");
    } else if a[1]=="gen" {
        let p = Publish{gzip:true, ..Publish::new(&a[3])};
        let p = e.publish(&p).unwrap();
        eprintln!("{} {} {}", p.urls, p.fragments, p.bytes);
    } else { eprintln!("{:?} {}", e.stats().unwrap(), e.check().unwrap()); }
    eprintln!("{:?}", t.elapsed());
}
