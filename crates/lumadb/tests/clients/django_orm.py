"""Django: migrations of its own applications and ours, the ORM, the admin's pages, inspectdb."""

import datetime as dt
import decimal
import io
import json
import pathlib
import sys
import tempfile
import urllib.parse
import uuid

import django
from django.conf import settings

target = urllib.parse.urlsplit(sys.argv[1])
home = pathlib.Path(tempfile.mkdtemp())
sys.path.insert(0, str(home))
(home / "shop").mkdir()
(home / "shop" / "__init__.py").write_text("")
MODELS = '''
import decimal, uuid
from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

class Author(models.Model):
    name = models.CharField(max_length=50, unique=True)
    email = models.EmailField(blank=True, db_index=True)
    def __str__(self): return self.name

class Label(models.Model):
    word = models.SlugField(unique=True)

class Book(models.Model):
    key = models.UUIDField(default=uuid.uuid4, editable=False)
    title = models.TextField(db_index=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=decimal.Decimal(0))
    pages = models.PositiveIntegerField(null=True)
    rating = models.FloatField(null=True)
    made = models.DateTimeField(auto_now_add=True)
    day = models.DateField(null=True)
    length = models.DurationField(null=True)
    public = models.BooleanField(default=True)
    raw = models.BinaryField(null=True)
    extra = models.JSONField(default=dict)
    words = ArrayField(models.CharField(max_length=10), default=list)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    labels = models.ManyToManyField(Label)
    class Meta:
        ordering = ["title"]
        indexes = [models.Index(fields=["price", "-made"]), models.Index(Lower("title"), name="book_lower"),
                   models.Index(fields=["pages"], name="book_public", condition=models.Q(public=True))]
        constraints = [models.UniqueConstraint(fields=["author", "title"], name="one_title"),
                       models.CheckConstraint(condition=models.Q(price__gte=0), name="price_not_negative"),
                       models.UniqueConstraint(fields=["title"], condition=models.Q(pages=1), name="one_leaflet")]

admin.site.register(Author)
@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "price"]
    list_filter = ["public", "made", "author"]
    search_fields = ["title", "author__name"]
    date_hierarchy = "made"
    list_select_related = True
'''
(home / "shop" / "models.py").write_text(MODELS)
(home / "urls.py").write_text("from django.contrib import admin\nfrom django.urls import path\nurlpatterns = [path('admin/', admin.site.urls)]\n")
settings.configure(
    SECRET_KEY="x" * 50, DEBUG=False, USE_TZ=True, TIME_ZONE="UTC", ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", STATIC_URL="/static/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": target.path[1:], "USER": target.username,
                           "PASSWORD": target.password or "", "HOST": target.hostname, "PORT": target.port}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
                    "django.contrib.messages", "django.contrib.staticfiles", "django.contrib.postgres", "shop"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}],
)
django.setup()

from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Avg, Case, Count, Exists, F, Max, OuterRef, Prefetch, Q, Subquery, Sum, Value, When, Window
from django.db.models.functions import Coalesce, Concat, ExtractYear, Lower, Rank, TruncMonth

from shop.models import Author, Book, Label


def migrate():
    call_command("makemigrations", "shop", verbosity=0)
    call_command("migrate", verbosity=0)
    out = io.StringIO()
    call_command("showmigrations", stdout=out)
    assert "[ ]" not in out.getvalue(), out.getvalue()
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    call_command("check", "--database", "default", verbosity=0)
    call_command("migrate", "shop", "zero", verbosity=0)
    assert "shop_book" not in connection.introspection.table_names()
    call_command("migrate", verbosity=0)


def fields():
    ann = Author.objects.create(name="Ann")
    given = dict(title="All", price=decimal.Decimal("12.50"), pages=7, rating=0.5, day=dt.date(2024, 2, 29),
                 length=dt.timedelta(days=1, microseconds=5), raw=b"\x00\xff", extra={"a": [1, {"b": None}]},
                 words=["x", "y z"], author=ann, key=uuid.uuid4())
    book = Book.objects.create(**given)
    book = Book.objects.get(pk=book.pk)
    for name, value in given.items():
        got = getattr(book, name)
        got = bytes(got) if isinstance(got, memoryview) else got
        assert got == value, (name, got, value)
    book.delete()


def queries():
    authors = Author.objects.bulk_create([Author(name=f"A{n}") for n in range(5)])
    assert all(author.pk for author in authors)
    labels = [Label.objects.create(word=word) for word in ("old", "new")]
    books = Book.objects.bulk_create([
        Book(title=f"Book {n:02}", price=n, pages=n + 10, day=dt.date(2024, n % 12 + 1, 1), author=authors[n % 4], extra={"n": n, "odd": bool(n % 2)}, words=[f"w{n}"])
        for n in range(40)
    ], batch_size=15)
    for book in books[::2]:
        book.labels.add(*labels)
    assert Book.objects.count() == 40 and Book.objects.filter(labels__word="old").count() == 20
    assert Book.objects.aggregate(Sum("price"), Avg("pages"), Max("day"), Count("author", distinct=True)) == {
        "price__sum": decimal.Decimal("780.00"), "pages__avg": 29.5, "day__max": dt.date(2024, 12, 1), "author__count": 4}
    counts = list(Author.objects.filter(name__startswith="A", name__regex="^A[0-9]$").annotate(n=Count("books"), total=Coalesce(Sum("books__price"), Value(decimal.Decimal(0)))).order_by("-n", "name").values_list("name", "n"))
    assert counts == [("A0", 10), ("A1", 10), ("A2", 10), ("A3", 10), ("A4", 0)], counts
    months = list(Book.objects.annotate(month=TruncMonth("day")).values("month").annotate(n=Count("id")).order_by("month"))
    assert len(months) == 12 and months[0]["n"] == 4
    assert Book.objects.filter(day__year=2024, made__date=dt.datetime.now(dt.timezone.utc).date()).count() == 40
    assert Book.objects.filter(extra__n__gt=35).count() == 4 and Book.objects.filter(extra__odd=True).count() == 20
    assert Book.objects.filter(extra__contains={"n": 3}).count() == 1 and Book.objects.filter(extra__has_key="n").count() == 40
    assert Book.objects.filter(words__contains=["w3"]).count() == 1 and Book.objects.filter(words__len=1).count() == 40
    assert Book.objects.filter(words__0="w5").count() == 1 and Book.objects.filter(words__overlap=["w1", "w2"]).count() == 2
    assert Book.objects.filter(title__icontains="oK 1").count() == 10 and Book.objects.filter(title__iexact="book 01").count() == 1
    assert Book.objects.filter(Q(price__lt=5) | Q(pages__gte=45), ~Q(title__endswith="1")).count() == 9
    dearest = Book.objects.filter(author=OuterRef("pk")).order_by("-price").values("title")[:1]
    assert dict(Author.objects.annotate(best=Subquery(dearest)).values_list("name", "best"))["A3"] == "Book 39"
    assert Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk"), price__gt=38))).get().name == "A3"
    ranks = Book.objects.annotate(rank=Window(Rank(), partition_by=F("author"), order_by=F("price").desc())).filter(rank=1)
    assert {book.title for book in ranks} == {"Book 36", "Book 37", "Book 38", "Book 39"}
    sized = Book.objects.annotate(size=Case(When(price__lt=10, then=Value("s")), default=Value("l"))).values("size").annotate(n=Count("id")).order_by("size")
    assert list(sized) == [{"size": "l", "n": 30}, {"size": "s", "n": 10}]
    assert Book.objects.annotate(both=Concat("author__name", Value("-"), Lower("title"), output_field=models.TextField())).get(pk=books[3].pk).both == "A3-book 03"
    assert Book.objects.filter(price__gt=35).update(price=F("price") + 1) == 4
    books[0].price, books[1].price = 100, 101
    Book.objects.bulk_update(books[:2], ["price"])
    assert sorted(Book.objects.filter(price__gte=100).values_list("price", flat=True)) == [100, 101]
    upserted = Author.objects.bulk_create([Author(name="A0", email="a@b.c")], update_conflicts=True, unique_fields=["name"], update_fields=["email"])
    assert len(upserted) == 1 and Author.objects.get(name="A0").email == "a@b.c"
    Author.objects.bulk_create([Author(name="A0")], ignore_conflicts=True)
    fetched = Author.objects.prefetch_related(Prefetch("books", queryset=Book.objects.select_related("author")))
    assert sum(len(author.books.all()) for author in fetched) == 40
    union = Book.objects.filter(price=5).values_list("title").union(Book.objects.filter(price=6).values_list("title"))
    assert sorted(union) == [("Book 05",), ("Book 06",)]
    assert len(Book.objects.filter(price=5).explain()) > 0
    assert [book.title for book in Book.objects.order_by("-title")[3:5]] == ["Book 36", "Book 35"]
    assert sum(1 for _ in Book.objects.iterator(chunk_size=7)) == 40
    assert Book.objects.dates("day", "month").count() == 12 and list(Book.objects.distinct("author").order_by("author", "title"))
    assert Book.objects.annotate(year=ExtractYear("day")).filter(year=2024).exists()
    assert Book.objects.in_bulk([books[0].pk])[books[0].pk].title == "Book 00"
    Label.objects.get_or_create(word="old")
    Label.objects.update_or_create(word="older", defaults={})
    for wrong in (lambda: Author.objects.create(name="A0"), lambda: Book.objects.create(title="x", price=-1, author=authors[0])):
        try:
            with transaction.atomic():
                wrong()
            raise AssertionError("it was taken")
        except IntegrityError:
            pass


def locks():
    with transaction.atomic():
        assert Book.objects.select_for_update().filter(price__lt=5).count()
        assert len(Book.objects.select_for_update(skip_locked=True).filter(price__lt=5)) == 3
        assert len(Book.objects.select_for_update(nowait=True, of=("self",)).select_related("author").filter(price__lt=5)) == 3
        try:
            with transaction.atomic():
                Author.objects.all().delete()
                raise KeyError
        except KeyError:
            pass
        transaction.on_commit(lambda: None)
    assert Author.objects.filter(name="A1").delete()[1]["shop.Book"] == 10
    with connection.cursor() as cursor:
        cursor.execute("SELECT title, price FROM shop_book WHERE price > %s ORDER BY 1", [38])
        assert [column.name for column in cursor.description] == ["title", "price"] and len(cursor.fetchall()) == 3


def introspection():
    with connection.cursor() as cursor:
        found = connection.introspection
        assert "shop_book" in found.table_names(cursor)
        relations = found.get_relations(cursor, "shop_book")
        assert relations["author_id"][:2] == ("id", "shop_author"), relations
        constraints = found.get_constraints(cursor, "shop_book")
        assert constraints["one_title"]["unique"] and constraints["one_title"]["columns"] == ["author_id", "title"]
        assert constraints["price_not_negative"]["check"]
        assert any(c["foreign_key"] == ("shop_author", "id") for c in constraints.values())
        assert any(c["index"] and c["orders"] == ["ASC", "DESC"] for c in constraints.values()), constraints
        assert found.get_primary_key_column(cursor, "shop_book") == "id"
        assert found.get_sequences(cursor, "shop_book")[0]["column"] == "id"
    out = io.StringIO()
    call_command("inspectdb", stdout=out)
    text = out.getvalue()
    for line in ("class ShopBook(models.Model)", "models.DecimalField(max_digits=8, decimal_places=2)", "models.JSONField()",
                 "author = models.ForeignKey(ShopAuthor, models.DO_NOTHING)", "unique_together = (('author', 'title'),)"):
        assert line in text, (line, text)


def admin():
    from django.contrib.auth.models import User
    from django.test import Client
    User.objects.create_superuser("root", "r@x.y", "word")
    client = Client()
    assert client.login(username="root", password="word")
    for path in ("", "shop/book/", "shop/book/?q=Book+A2&public__exact=1", "shop/book/?made__year=2026", "shop/book/add/", "auth/user/"):
        assert client.get("/admin/" + path).status_code in (200, 302), path
    pk = Book.objects.first().pk
    assert client.get(f"/admin/shop/book/{pk}/change/").status_code == 200
    page = client.post("/admin/shop/author/add/", {"name": "By admin", "email": ""})
    assert page.status_code == 302 and Author.objects.filter(name="By admin").exists()
    done = client.post("/admin/shop/book/", {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert done.status_code == 302 and not Book.objects.filter(pk=pk).exists()
    assert client.get(f"/admin/shop/author/{Author.objects.get(name='By admin').pk}/history/").status_code == 200
    out = io.StringIO()
    call_command("dumpdata", "shop.author", stdout=out)
    assert len(json.loads(out.getvalue())) == Author.objects.count()
    call_command("flush", interactive=False, verbosity=0)
    assert Author.objects.count() == 0
    call_command("sqlsequencereset", "shop", stdout=out)


for step in (migrate, fields, queries, locks, introspection, admin):
    try:
        step()
    except Exception:
        if "--all" not in sys.argv:
            raise
        import traceback
        print("FAILED", step.__name__)
        traceback.print_exc()
print("django", django.__version__)
