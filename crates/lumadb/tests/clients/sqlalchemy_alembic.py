"""SQLAlchemy 2 (Core, ORM, reflection) on psycopg 3 and asyncpg, and Alembic's autogenerate, upgrade and downgrade."""

import asyncio
import datetime as dt
import decimal
import enum
import sys
import uuid

import alembic
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

rest = sys.argv[1].split("://")[1]


class Base(orm.DeclarativeBase):
    pass


class Size(enum.Enum):
    small = "s"
    large = "l"


class State(enum.Enum):
    draft = 1
    printed = 2
    pulped = 3


tagged = sa.Table("book_tag", Base.metadata,
                  sa.Column("book_id", sa.ForeignKey("book.id", ondelete="CASCADE"), primary_key=True),
                  sa.Column("tag_id", sa.ForeignKey("tag.id"), primary_key=True))


class Author(Base):
    __tablename__ = "author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50), unique=True, comment="full name")
    born: orm.Mapped[dt.date | None]
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")


class Tag(Base):
    __tablename__ = "tag"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    word: orm.Mapped[str]


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (
        sa.CheckConstraint("price >= 0", name="price_not_negative"),
        sa.UniqueConstraint("author_id", "title", name="one_title"),
        sa.Index("book_lower", sa.text("lower(title)")),
        sa.Index("book_open", "price", postgresql_where=sa.text("sold IS NULL")),
        sa.Index("book_with", "title", postgresql_include=["price"]),
        {"comment": "what is sold"},
    )
    id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    key: orm.Mapped[uuid.UUID] = orm.mapped_column(default=uuid.uuid4)
    title: orm.Mapped[str] = orm.mapped_column(sa.Text, index=True)
    price: orm.Mapped[decimal.Decimal] = orm.mapped_column(sa.Numeric(10, 2), server_default="0")
    sold: orm.Mapped[dt.datetime | None] = orm.mapped_column(sa.DateTime(timezone=True))
    made: orm.Mapped[dt.datetime] = orm.mapped_column(server_default=sa.func.now())
    state: orm.Mapped[State] = orm.mapped_column(default=State.draft, server_default="draft")
    states: orm.Mapped[list[State] | None] = orm.mapped_column(pg.ARRAY(sa.Enum(State)))
    size: orm.Mapped[Size] = orm.mapped_column(sa.Enum(Size, native_enum=False), default=Size.small)
    notes: orm.Mapped[list[str] | None] = orm.mapped_column(pg.ARRAY(sa.Text))
    extra: orm.Mapped[dict | None] = orm.mapped_column(pg.JSONB)
    raw: orm.Mapped[bytes | None]
    length: orm.Mapped[dt.timedelta | None]
    twice: orm.Mapped[decimal.Decimal | None] = orm.mapped_column(sa.Numeric, sa.Computed("price * 2"))
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")
    tags: orm.Mapped[list[Tag]] = orm.relationship(secondary=tagged)


def orm_work(engine):
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    make = orm.sessionmaker(engine)
    with make.begin() as session:
        ann = Author(name="Ann", born=dt.date(1900, 1, 1))
        tags = [Tag(word=word) for word in ("old", "new")]
        ann.books = [
            Book(title=f"Book {n}", price=decimal.Decimal(n), notes=["a", "b"], extra={"n": n, "deep": {"k": [1, 2]}},
                 state=State(1 + n % 3), states=[State.pulped, State.draft],
                 raw=b"\x00\x01", length=dt.timedelta(hours=n), size=Size.large if n % 2 else Size.small, tags=tags[: n % 3])
            for n in range(1, 31)
        ]
        session.add(ann)
        session.add(Author(name="Bob"))
    with make() as session:
        ann = session.scalars(sa.select(Author).where(Author.name == "Ann").options(orm.selectinload(Author.books))).one()
        assert len(ann.books) == 30 and ann.books[0].twice == ann.books[0].price * 2
        book = session.scalars(sa.select(Book).options(orm.joinedload(Book.tags)).where(Book.title == "Book 2")).unique().one()
        assert [tag.word for tag in book.tags] == ["old", "new"] and book.length == dt.timedelta(hours=2)
        assert book.extra == {"n": 2, "deep": {"k": [1, 2]}} and book.notes == ["a", "b"] and book.raw == b"\x00\x01"
        assert book.size is Size.small
        count = sa.func.count(Book.id)
        counts = session.execute(sa.select(Author.name, count, sa.func.sum(Book.price)).outerjoin(Author.books)
                                 .group_by(Author.name).having(count >= 0).order_by(Author.name)).all()
        assert counts == [("Ann", 30, decimal.Decimal("465.00")), ("Bob", 0, None)], counts
        assert session.scalar(sa.select(sa.func.count()).where(Book.extra["n"].as_integer() > 28)) == 2
        assert session.scalar(sa.select(sa.func.count()).where(Book.extra["deep"]["k"][0].as_integer() == 1)) == 30
        assert session.scalar(sa.select(sa.func.count()).where(Book.extra.contains({"n": 3}))) == 1
        assert session.scalar(sa.select(sa.func.count()).where(Book.notes.any("a"))) == 30
        assert session.scalar(sa.select(sa.func.count()).where(Book.notes.contains(["a"]))) == 30
        assert session.scalar(sa.select(sa.func.count()).where(Book.title.ilike("%K 1_"))) == 10
        assert session.scalar(sa.select(sa.func.count()).where(Book.size == Size.large)) == 15
        assert book.state is State.pulped and book.states == [State.pulped, State.draft]
        assert session.scalar(sa.select(sa.func.count()).where(Book.state > State.draft)) == 20
        assert session.scalars(sa.select(Book.state).distinct().order_by(Book.state.desc())).all() == list(State)[::-1]
        assert session.scalar(sa.select(sa.func.count()).where(Book.state.in_([State.printed, State.pulped]))) == 20
        assert session.scalar(sa.select(sa.func.max(Book.state))) is State.pulped
        assert session.scalar(sa.select(sa.func.count()).where(Book.states.any(State.pulped))) == 30
        assert session.scalar(sa.select(sa.func.count()).where(Book.title.regexp_match("^Book [12]$"))) == 2
        rank = sa.func.row_number().over(partition_by=Book.size, order_by=Book.price.desc())
        numbered = sa.select(Book.id, Book.title, rank.label("rank")).subquery()
        best = session.execute(sa.select(numbered.c.title).where(numbered.c.rank == 1).order_by(numbered.c.title)).scalars().all()
        assert best == ["Book 29", "Book 30"], best
        tree = sa.select(sa.literal(1).label("n")).cte(recursive=True)
        tree = tree.union_all(sa.select(tree.c.n + 1).where(tree.c.n < 5))
        assert session.scalar(sa.select(sa.func.sum(tree.c.n))) == 15
        exists = session.scalars(sa.select(Author.name).where(Author.books.any(Book.price > 29))).all()
        assert exists == ["Ann"]
        locked = session.scalars(sa.select(Book).where(Book.id == book.id).with_for_update(skip_locked=True)).all()
        assert locked == [book]
        book.price += 1
        session.flush()
        assert book.twice == book.price * 2
        changed = session.execute(sa.update(Book).where(Book.price > 28).values(sold=sa.func.now()).returning(Book.id)).scalars().all()
        assert len(changed) == 2
        session.execute(sa.delete(Book).where(Book.title == "Book 30"))
        with session.begin_nested() as nested:
            session.add(Tag(word="never"))
            session.flush()
            nested.rollback()
        session.commit()
        insert = pg.insert(Author).values([{"name": "Ann"}, {"name": "Cid"}])
        insert = insert.on_conflict_do_update(index_elements=[Author.name], set_={"born": dt.date(2000, 1, 1)}).returning(Author.name)
        assert sorted(session.scalars(insert)) == ["Ann", "Cid"]
        session.execute(pg.insert(Author).values(name="Bob").on_conflict_do_nothing())
        ids = session.scalars(sa.insert(Tag).returning(Tag.id, sort_by_parameter_order=True), [{"word": str(n)} for n in range(1500)]).all()
        assert ids == sorted(ids) and len(ids) == 1500
        session.commit()
        try:
            session.add(Author(name="Ann"))
            session.flush()
            raise AssertionError("a second Ann")
        except sa.exc.IntegrityError:
            session.rollback()
        stream = session.execute(sa.select(Tag.id).order_by(Tag.id).execution_options(yield_per=100)).scalars()
        assert sum(1 for _ in stream) == 1502
        session.delete(session.get(Author, ann.id))
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 0


def reflection(engine):
    inspector = sa.inspect(engine)
    assert {"author", "book", "tag", "book_tag"} <= set(inspector.get_table_names())
    assert inspector.has_table("book") and not inspector.has_table("nowhere")
    columns = {column["name"]: column for column in inspector.get_columns("book")}
    assert isinstance(columns["price"]["type"], sa.Numeric) and columns["price"]["type"].scale == 2
    assert isinstance(columns["notes"]["type"], pg.ARRAY) and isinstance(columns["extra"]["type"], pg.JSONB)
    assert columns["sold"]["type"].timezone and columns["id"]["identity"]["always"] is False
    assert columns["twice"]["computed"]["persisted"] and not columns["title"]["nullable"]
    assert inspector.get_pk_constraint("book")["constrained_columns"] == ["id"]
    keys = inspector.get_foreign_keys("book_tag")
    assert {(key["referred_table"], key["options"].get("ondelete")) for key in keys} == {("book", "CASCADE"), ("tag", None)}
    assert inspector.get_unique_constraints("book")[0]["column_names"] == ["author_id", "title"]
    assert [check["name"] for check in inspector.get_check_constraints("book")] == ["price_not_negative"]
    assert inspector.get_table_comment("book")["text"] == "what is sold"
    assert {c["name"]: c["comment"] for c in inspector.get_columns("author")}["name"] == "full name"
    indexes = {index["name"]: index for index in inspector.get_indexes("book")}
    assert indexes["book_lower"]["expressions"] == ["lower(title)"], indexes
    assert indexes["book_open"]["dialect_options"]["postgresql_where"] == "(sold IS NULL)", indexes
    assert indexes["book_with"]["dialect_options"]["postgresql_include"] == ["price"], indexes
    metadata = sa.MetaData()
    metadata.reflect(engine)
    assert metadata.tables["book"].c.author_id.references(metadata.tables["author"].c.id)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE VIEW titles AS SELECT title FROM book"))
        connection.execute(sa.text("CREATE SCHEMA elsewhere"))
        connection.execute(sa.text("CREATE SEQUENCE loose"))
    inspector = sa.inspect(engine)
    assert inspector.get_view_names() == ["titles"] and "elsewhere" in inspector.get_schema_names()
    assert "FROM book" in inspector.get_view_definition("titles") and inspector.has_sequence("loose")


def migrations(engine):
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        wanted = sa.MetaData()
        for table in Base.metadata.tables.values():
            table.to_metadata(wanted)
        assert [d for d in compare_metadata(context, wanted) if d[0] not in ("remove_table",)] == [], compare_metadata(context, wanted)
        book = wanted.tables["book"]
        book.append_column(sa.Column("pages", sa.Integer, nullable=False, server_default="1"))
        book.append_column(sa.Column("isbn", sa.String(13)))
        book.append_constraint(sa.UniqueConstraint("isbn", name="one_isbn"))
        sa.Index("book_pages", book.c.pages)
        sa.Table("shop", wanted, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20), nullable=False))
        script = produce_migrations(context, wanted)
        up, down = render_python_code(script.upgrade_ops), render_python_code(script.downgrade_ops)
        assert "create_table('shop'" in up and "drop_table('shop')" in down, up
        operations = Operations(context)
        run = lambda text: exec("def go(op, sa, postgresql):\n    " + text.replace("\n", "\n    ") + "\ngo(op, sa, postgresql)",
                                {"op": operations, "sa": sa, "postgresql": pg})
        run(up)
        assert compare_metadata(context, wanted) == [], compare_metadata(context, wanted)
        operations.alter_column("shop", "name", new_column_name="label", type_=sa.String(40), nullable=True)
        operations.alter_column("shop", "label", type_=sa.Text(), server_default="none")
        operations.create_check_constraint("label_short", "shop", "length(label) < 100")
        operations.create_foreign_key("shop_author", "shop", "author", ["id"], ["id"], ondelete="SET NULL")
        operations.drop_constraint("shop_author", "shop", type_="foreignkey")
        operations.bulk_insert(sa.table("shop", sa.column("id"), sa.column("label")), [{"id": 1, "label": "one"}, {"id": 2, "label": None}])
        operations.alter_column("shop", "label", new_column_name="name")
        operations.rename_table("shop", "store")
        operations.rename_table("store", "shop")
        run(down)
        assert not sa.inspect(connection).has_table("shop")
        assert "pages" not in {column["name"] for column in sa.inspect(connection).get_columns("book")}


async def asynchronous():
    engine = create_async_engine("postgresql+asyncpg://" + rest)
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE later (a int, b jsonb)"))
        await connection.execute(sa.text("INSERT INTO later VALUES (:a, :b)"), [{"a": n, "b": "{}"} for n in range(10)])
        assert (await connection.execute(sa.text("SELECT sum(a) FROM later"))).scalar() == 45
        assert (await connection.run_sync(lambda sync: sa.inspect(sync).get_columns("later")))[0]["name"] == "a"
    async with async_sessionmaker(engine)() as session:
        session.add(Author(name="Async"))
        await session.commit()
        found = (await session.scalars(sa.select(Author).where(Author.name == "Async"))).one()
        await session.delete(found)
        await session.commit()
        rows = [row.a async for row in await session.stream(sa.text("SELECT a FROM later ORDER BY a"))]
        assert rows == list(range(10))
    await engine.dispose()


if __name__ == "__main__":
    for driver in ("psycopg", "psycopg2"):
        engine = sa.create_engine(f"postgresql+{driver}://" + rest)
        steps = (orm_work, reflection, migrations)
        for step in steps:
            try:
                step(engine)
            except Exception:
                if "--all" not in sys.argv:
                    raise
                import traceback
                print("FAILED", driver, step.__name__)
                traceback.print_exc()
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("DROP SCHEMA IF EXISTS elsewhere CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
    engine = sa.create_engine("postgresql+psycopg://" + rest)
    Base.metadata.create_all(engine)
    asyncio.run(asynchronous())
    print("sqlalchemy", sa.__version__, "alembic", alembic.__version__)
