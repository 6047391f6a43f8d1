mod index;
mod names;
mod scan;
mod tags;
